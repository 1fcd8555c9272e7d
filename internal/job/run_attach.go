package job

import (
	"context"
	"fmt"
	"os"

	"popcorn/internal/sys"
)

// AttachEnd is how an attachment ended.
type AttachEnd struct {
	// LetGo tells that the program runs on by itself; else it has ended.
	LetGo bool
	// Code is its exit code then, 128+N when signal N ended it.
	Code int
}

// Attach takes the running process s.Attach under control until it ends or is let
// go, and calls ready with the job's id when it is under control. SIGINT, SIGTERM
// and SIGHUP let it go. An error tells what became of the program; it is
// control.ErrRefused or ErrNoSuchJob when nothing was done to it.
//
// As Run does, Attach keeps what must outlive a supervisor, while there is such.
func Attach(ctx context.Context, s Spec, deputies Deputies, ready func(id string)) (AttachEnd, error) {
	if err := s.examine(); err != nil {
		return AttachEnd{}, err
	}
	l := newLauncher(s)
	l.deputies, l.ready = deputies, ready
	defer l.close()
	if err := l.start(); err != nil {
		return AttachEnd{}, err
	}
	code, err := l.waitAndInquire(ctx)
	return AttachEnd{LetGo: l.letGo, Code: code}, err
}

// examine tells why s.Attach cannot be attached to.
func (s *Spec) examine() error {
	switch {
	case s.Foster == nil:
		return Examine(s.Attach)
	case s.Foster.Parked != nil:
		return examineFoster(s.Attach)
	}
	return s.Foster.examineFollowed()
}

// letGoSignals are those that popcorn attach lets go for.
var letGoSignals = []sys.Signal{sys.SIGINT, sys.SIGTERM, sys.SIGHUP}

// signals is what this command acts upon.
func (l *launcher) signals() []sys.Signal {
	if l.spec.Attach != 0 {
		return letGoSignals
	}
	return handledSignals
}

// free gives up what a supervisor had us keep.
func (c *child) free() {
	for _, k := range c.kept {
		for _, fd := range k.fds {
			sys.Close(fd)
		}
	}
	c.kept = nil
}

// fate says what a supervisor's death means for the program.
func (l *launcher) fate() string {
	if l.spec.Attach != 0 && len(l.nodes[0].kept) == 0 {
		return "the program runs on without popcorn"
	}
	return "the program was ended"
}

// notice tells the person at the terminal something.
func notice(text string) { fmt.Fprintln(os.Stderr, "popcorn: "+text) }

// said is an error of a supervisor, in its words.
type said struct {
	words string
	is    error
}

func (s said) Error() string { return s.words }

func (s said) Unwrap() error { return s.is }
