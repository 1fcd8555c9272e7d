package node

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"popcorn/internal/control"
)

// What a call can fail with. They survive the sockets: errors.Is holds on the
// client's side too.
var (
	ErrNoSuchNode  = control.ErrNoSuchNode
	ErrUnreachable = control.ErrUnreachable
	ErrRefused     = control.ErrRefused
	ErrVersion     = control.ErrVersion
	ErrMalformed   = control.ErrMalformed
	// ErrNoDaemon: nobody listens at the local socket.
	ErrNoDaemon = errors.New("no daemon runs here")
)

// codes are what errors are on the wire.
var codes = []struct {
	code connect.Code
	err  error
}{
	{connect.CodeNotFound, ErrNoSuchNode},
	{connect.CodeUnavailable, ErrUnreachable},
	{connect.CodePermissionDenied, ErrRefused},
	{connect.CodeUnauthenticated, ErrRefused},
	{connect.CodeUnimplemented, ErrVersion},
	{connect.CodeInvalidArgument, ErrMalformed},
}

// toWire gives an error its code.
func toWire(err error) error {
	var known *connect.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return connect.NewError(c.code, err)
		}
	}
	return connect.NewError(connect.CodeInternal, err)
}

// remoteError is an error of the other side: its text, and what its code
// stands for.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// fromWire returns what the other side said. Where it said nothing, the failure
// lies on the way, and way makes an error of it.
func fromWire(err error, way func(error) error) error {
	var said *connect.Error
	switch {
	case err == nil:
		return nil
	case !connect.IsWireError(err) || !errors.As(err, &said):
		return way(err)
	}
	for _, c := range codes {
		if said.Code() == c.code {
			return &remoteError{said.Message(), c.err}
		}
	}
	return errors.New(said.Message())
}

// misuse is what the caller said wrongly: ErrMalformed without its words.
type misuse struct{ error }

func (m misuse) Unwrap() error        { return m.error }
func (m misuse) Is(target error) bool { return target == ErrMalformed }

// bare takes what connect puts before the cause of a failure on the way.
func bare(err error) error {
	var e *connect.Error
	if errors.As(err, &e) {
		return e.Unwrap()
	}
	return err
}

// unreachable is the way to a node that failed.
func unreachable(name, addr string) func(error) error {
	return func(err error) error {
		return fmt.Errorf("node %s (%s) is %w: %w; is \"popcorn node serve\" running there?", name, addr, ErrUnreachable, bare(err))
	}
}
