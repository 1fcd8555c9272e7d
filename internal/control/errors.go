package control

import (
	"context"
	"errors"
)

// What a call can fail with. They survive the socket: errors.Is holds on the
// client's side too.
var (
	ErrNoSuchJob    = errors.New("no such job")
	ErrNoSuchThread = errors.New("no such thread")
	ErrNoSuchNode   = errors.New("no such node")
	ErrUnreachable  = errors.New("unreachable")
	ErrRefused      = errors.New("refused")
	ErrAmbiguous    = errors.New("more than one job is meant")
	ErrUnknownOp    = errors.New("unknown operation")
	ErrVersion      = errors.New("unknown protocol version")
	ErrMalformed    = errors.New("malformed request")
)

// codes are the names errors have on the wire.
var codes = []struct {
	code string
	err  error
}{
	{"no_such_job", ErrNoSuchJob},
	{"no_such_thread", ErrNoSuchThread},
	{"no_such_node", ErrNoSuchNode},
	{"unreachable", ErrUnreachable},
	{"refused", ErrRefused},
	{"unknown_op", ErrUnknownOp},
	{"version", ErrVersion},
	{"malformed", ErrMalformed},
	{"deadline", context.DeadlineExceeded},
	{"canceled", context.Canceled},
}

// remoteError is an error of the other side: its text, and the sentinel its
// code stands for.
type remoteError struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func (e *remoteError) Error() string { return e.Text }

func (e *remoteError) Unwrap() error {
	for _, c := range codes {
		if c.code == e.Code {
			return c.err
		}
	}
	return nil
}

func toRemote(err error) *remoteError {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return &remoteError{Code: c.code, Text: err.Error()}
		}
	}
	return &remoteError{Code: "failed", Text: err.Error()}
}
