package wire

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrClosed is returned by every call on a Conn after its Close.
	ErrClosed = errors.New("connection closed")
	// ErrQueueFull means that a peer takes nothing while its queue has reached
	// the limit. The frame was not sent, not even in part.
	ErrQueueFull = errors.New("send queue full")
)

// ProtocolError is what a peer of this version never sends. The connection
// that carried it is dead.
type ProtocolError struct {
	What string
	Got  uint64
	Max  uint64
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("malformed %s: %d, at most %d", e.What, e.Got, e.Max)
}

// gone marks err as the end of the peer: errors.Is(err, io.EOF) holds and the
// errno, if any, is kept.
func gone(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, io.EOF, err)
}
