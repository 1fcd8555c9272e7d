package wire

import (
	"io"
	"sync"

	"popcorn/internal/sys"
)

// Pipe is two connected Conns over memory, for tests: no descriptor, no
// kernel, and a schedule that is the caller's alone. Each direction holds
// capacity bytes between Send and Recv as a socket would; what is above that
// stays Queued at the sender until Flush.
func Pipe(capacity int) (*Conn, *Conn) {
	a, b := memStreams(capacity)
	return newConn(a), newConn(b)
}

func memStreams(capacity int) (a, b memStream) {
	ab, ba := &memory{limit: capacity}, &memory{limit: capacity}
	return memStream{in: ba, out: ab}, memStream{in: ab, out: ba}
}

// memory is one direction. The two ends may belong to different threads.
type memory struct {
	mu     sync.Mutex
	b      []byte
	limit  int
	closed bool
}

type memStream struct{ in, out *memory }

func (s memStream) read(b []byte, fresh bool) (int, error) {
	if !fresh {
		return 0, sys.EAGAIN
	}
	m := s.in
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.b) == 0 {
		if m.closed {
			return 0, io.EOF
		}
		return 0, sys.EAGAIN
	}
	n := copy(b, m.b)
	m.b = m.b[:copy(m.b, m.b[n:])]
	return n, nil
}

func (s memStream) writev(bufs [][]byte) (int, error) {
	m := s.out
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, sys.EPIPE
	}
	n := 0
	for _, b := range bufs {
		k := min(len(b), m.limit-len(m.b))
		m.b = append(m.b, b[:k]...)
		n += k
	}
	if n == 0 {
		return 0, sys.EAGAIN
	}
	return n, nil
}

func (s memStream) pending() int { return 0 }
func (s memStream) fd() int      { return -1 }

func (s memStream) abandon() { s.close() }

func (s memStream) close() {
	for _, m := range []*memory{s.in, s.out} {
		m.mu.Lock()
		m.closed = true
		m.mu.Unlock()
	}
}
