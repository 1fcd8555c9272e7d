package wire

import (
	"errors"

	"popcorn/internal/sys"
)

// stream is the bytes below a Conn: a socket, or memory; encryption will be a
// third. Nothing blocks: what cannot be done now is sys.EAGAIN. The end is
// io.EOF, of read only.
type stream interface {
	read(b []byte) (int, error)
	writev(bufs [][]byte) (int, error)
	fd() int
	close()
}

type fdStream int

func (s fdStream) read(b []byte) (int, error)        { return sys.TryRead(int(s), b) }
func (s fdStream) writev(bufs [][]byte) (int, error) { return sys.TryWritev(int(s), bufs) }
func (s fdStream) fd() int                           { return int(s) }
func (s fdStream) close()                            { sys.Close(int(s)) }

// peerGone tells whether err means that nobody is at the other end any more.
func peerGone(err error) bool {
	switch {
	case errors.Is(err, sys.EPIPE), errors.Is(err, sys.ECONNRESET), errors.Is(err, sys.ECONNABORTED),
		errors.Is(err, sys.ETIMEDOUT), errors.Is(err, sys.EHOSTUNREACH), errors.Is(err, sys.ENETUNREACH):
		return true
	}
	return false
}
