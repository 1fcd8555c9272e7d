package job

import (
	"fmt"
	"os"
)

// Supervise is the body of the internal verb "popcorn supervise": one
// supervisor process of one job at one node. It returns the exit code.
func Supervise(args []string) int {
	fmt.Fprintln(os.Stderr, "popcorn: supervise: not built yet")
	return 125
}
