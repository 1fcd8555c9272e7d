package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

// newBench is where the measurements of package bench get their flags and
// their table.
func newBench() *cobra.Command {
	return &cobra.Command{
		Use:   "bench",
		Short: "Measure faults, moves and forwarded calls beside this machine's own floor",
		Args:  exactly(),
		RunE:  func(*cobra.Command, []string) error { return errors.New("bench is not there yet") },
	}
}
