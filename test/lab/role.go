package lab

import (
	"fmt"
	"os"
)

// The parts a test's own program plays, by its name in argv[0].
const (
	roleInit = "popcorn-lab-init" // process 1 of a host
	roleDoor = "popcorn-lab-door" // stands outside for a command
	roleNone = "popcorn-lab-none" // tries whether namespaces can be made
)

// self is this program, also where its file was removed or another root rules.
const self = "/proc/self/exe"

// Exit codes of the door, as of a shell and of env(1).
const (
	exitOurs     = 125
	exitCannot   = 126
	exitNotFound = 127
)

// It is here, and not in a TestMain, so that the importing test need not know.
func init() {
	switch os.Args[0] {
	case roleInit:
		os.Exit(runInit())
	case roleDoor:
		os.Exit(standFor(os.Args[1:]))
	case roleNone:
		os.Exit(0)
	case virtualInit:
		os.Exit(virtualRole())
	}
}

func complain(code int, err error) int {
	fmt.Fprintln(os.Stderr, "lab:", err)
	return code
}
