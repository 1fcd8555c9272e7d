package cli

import (
	"errors"
	"fmt"

	"popcorn/internal/control"
	"popcorn/internal/node"
)

// Exit codes. Those of run are the program's own, or from 125 on.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitAbsent      = 3 // no such job, thread or node
	exitUnreachable = 4
	exitRefused     = 5

	exitOurs       = 125 // popcorn itself failed
	exitCannotExec = 126
	exitNotFound   = 127
)

// exitError is an error that knows its exit code. Without err there is
// nothing to say: the code is the program's.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitf(code int, format string, a ...any) error {
	return &exitError{code, fmt.Errorf(format, a...)}
}

func usagef(format string, a ...any) error { return exitf(exitUsage, format, a...) }

// codeOf returns the exit code for what a verb returned.
func codeOf(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, control.ErrAmbiguous):
		return exitUsage
	case errors.Is(err, control.ErrNoSuchJob), errors.Is(err, control.ErrNoSuchThread), errors.Is(err, control.ErrNoSuchNode):
		return exitAbsent
	case errors.Is(err, control.ErrUnreachable), errors.Is(err, node.ErrNoDaemon):
		return exitUnreachable
	case errors.Is(err, control.ErrRefused):
		return exitRefused
	}
	return exitFailed
}
