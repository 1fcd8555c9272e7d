package wire

import (
	"errors"

	"popcorn/internal/sys"
)

// stream is the bytes below a Conn: a socket, memory, or TLS over one of them.
// Nothing blocks: what cannot be done now is sys.EAGAIN. The end is io.EOF, of
// read only.
type stream interface {
	// read reads what is there, short only if it is all. When not fresh it
	// gives no more than what it has taken from the kernel before, and no poll
	// tells of. An error that comes with bytes comes alone the next time.
	read(b []byte, fresh bool) (int, error)
	// writev takes what it can; what of that is not the kernel's yet is
	// pending, until a writev, of nothing if need be, has sent it.
	writev(bufs [][]byte) (int, error)
	pending() int
	fd() int
	// close says goodbye where there is a way to, abandon never.
	close()
	abandon()
}

type fdStream int

func (s fdStream) read(b []byte, fresh bool) (int, error) {
	if !fresh {
		return 0, sys.EAGAIN
	}
	return sys.TryRead(int(s), b)
}

func (s fdStream) writev(bufs [][]byte) (int, error) { return sys.TryWritev(int(s), bufs) }
func (s fdStream) pending() int                      { return 0 }
func (s fdStream) fd() int                           { return int(s) }
func (s fdStream) close()                            { sys.Close(int(s)) }
func (s fdStream) abandon()                          { s.close() }

// peerGone tells whether err means that nobody is at the other end any more.
func peerGone(err error) bool {
	switch {
	case errors.Is(err, errTruncated), isAlert(err, remoteAlert):
		return true
	case errors.Is(err, sys.EPIPE), errors.Is(err, sys.ECONNRESET), errors.Is(err, sys.ECONNABORTED),
		errors.Is(err, sys.ETIMEDOUT), errors.Is(err, sys.EHOSTUNREACH), errors.Is(err, sys.ENETUNREACH):
		return true
	}
	return false
}
