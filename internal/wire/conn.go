package wire

import (
	"errors"
	"fmt"
	"io"

	"popcorn/internal/sys"
)

const (
	// firstBuffer holds some 60 pages with their headers; a bigger frame grows
	// the buffer, only as its bytes arrive, up to maxBuffer.
	firstBuffer = 256 << 10
	maxBuffer   = HeaderSize + MaxPayload
	// turnBudget is the bytes one Recv or Flush moves before it lets the event
	// loop look at other peers.
	turnBudget = 1 << 20
	// queueLimit bounds the memory a peer that reads nothing can cost.
	queueLimit = 1 << 30
	// maxVectors stays far below IOV_MAX (1024) of writev(2).
	maxVectors = 64
)

// Conn is one peer. It belongs to one thread: no method may be called from two
// threads at once. Poll its descriptor for input always and for output while
// Queued is not zero; edge-triggered, call Recv again while More says so, and until
// it fails once the poll tells the stream's end.
type Conn struct {
	s     stream   // nil after Close and while suspended
	ses   *session // nil when the connection ends with its stream
	limit int

	head [HeaderSize]byte
	vecs [][]byte // reused by every Send and Flush
	out  queue
	held bool  // frames wait for Flush, to leave together
	wErr error // set once writing has failed; reading may still go on

	in   []byte
	r, w int // in[r:w] is received and not yet dispatched
	more bool
	rErr error
}

// NewConn takes over fd, a connected, authenticated stream socket, and closes
// it with Close. The descriptor must be non-blocking.
func NewConn(fd int) *Conn { return newConn(fdStream(fd)) }

func newConn(s stream) *Conn {
	return &Conn{s: s, limit: queueLimit, vecs: make([][]byte, 0, maxVectors)}
}

// newSession is a Conn that outlives s.
func newSession(s stream, id SessionID, node uint16) *Conn {
	c := newConn(s)
	c.ses = &session{id: id, node: node}
	return c
}

// FD is the descriptor to poll, -1 for a Pipe, while suspended and after Close.
func (c *Conn) FD() int {
	if c.s == nil {
		return -1
	}
	return c.s.fd()
}

// Queued is the bytes that wait for Flush, encrypted or not. While it is not
// zero the loop must poll for output.
func (c *Conn) Queued() int {
	if c.wErr != nil || c.s == nil || c.ses != nil && c.ses.broken != nil {
		return 0
	}
	return c.out.size - c.kept() + c.s.pending()
}

// Send transmits a frame of h and the payloads one after another, copying what
// the kernel does not take at once; the payloads are the caller's again when
// it returns. Errors: ErrQueueFull (nothing of the frame was sent), a payload
// above MaxPayload, ErrClosed and, without a session, io.EOF (by errors.Is) when
// the peer is gone.
func (c *Conn) Send(h Header, payload ...[]byte) error {
	if c.wErr != nil {
		return c.wErr
	}
	size := 0
	for _, p := range payload {
		size += len(p)
	}
	if err := c.admit(h.Type, size); err != nil {
		return err
	}
	h.Len = uint32(size)
	h.Encode(c.head[:])
	if c.ses != nil {
		return c.sendKept(payload)
	}
	sent := 0
	if c.out.size == 0 && !c.held {
		var err error
		if sent, err = c.sendNow(payload); err != nil {
			return err
		}
	}
	c.queueRest(sent, payload)
	return nil
}

func (c *Conn) admit(t Type, size int) error {
	switch {
	case !t.Valid():
		return fmt.Errorf("send frame: no such type: %d", uint8(t))
	case size > MaxPayload:
		return fmt.Errorf("send %v: payload of %d bytes, at most %d", t, size, MaxPayload)
	}
	waiting := c.Queued()
	if c.ses != nil {
		waiting = c.out.size // and what may have to be sent again
	}
	if waiting+HeaderSize+size > c.limit {
		return fmt.Errorf("send %v: %w: %d bytes wait", t, ErrQueueFull, waiting)
	}
	return nil
}

// sendNow offers the frame to the kernel and tells how many bytes it took.
func (c *Conn) sendNow(payload [][]byte) (int, error) {
	c.vecs = append(c.vecs[:0], c.head[:])
	for _, p := range payload {
		if len(c.vecs) == maxVectors {
			break
		}
		if len(p) > 0 {
			c.vecs = append(c.vecs, p)
		}
	}
	return c.write()
}

// write passes c.vecs to the stream. A full socket is no error: 0 bytes.
func (c *Conn) write() (int, error) {
	n, err := c.s.writev(c.vecs)
	clear(c.vecs) // the caller's memory must not stay reachable from here
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, sys.EAGAIN):
		return 0, nil
	case c.ses != nil:
		c.ses.lost(err) // what is to be sent stays
		return 0, nil
	case peerGone(err):
		err = gone("send to peer", err)
	default:
		err = fmt.Errorf("send to peer: %w", err)
	}
	c.wErr = err
	c.out.reset()
	return 0, err
}

// queueRest copies the frame, but for its first sent bytes, into the queue.
func (c *Conn) queueRest(sent int, payload [][]byte) {
	skip := min(sent, HeaderSize)
	c.out.append(c.head[skip:])
	sent -= skip
	for _, p := range payload {
		skip = min(sent, len(p))
		c.out.append(p[skip:])
		sent -= skip
	}
}

// Hold has the frames of the following Sends wait for Flush, so that they leave,
// and wake the peer, together.
func (c *Conn) Hold() { c.held = true }

// Held tells whether Hold is waiting for its Flush.
func (c *Conn) Held() bool { return c.held }

// Flush sends from the queue what the kernel takes, up to a budget: call it
// again while Queued is not zero and the descriptor is writable.
func (c *Conn) Flush() error {
	c.held = false
	return c.flush()
}

func (c *Conn) flush() error {
	if c.wErr != nil {
		return c.wErr
	}
	for budget := turnBudget; c.Queued() > 0 && budget > 0; {
		c.vecs = c.out.bufs(c.vecs[:0], c.kept(), maxVectors)
		n, err := c.write()
		if err != nil {
			return err
		}
		c.taken(n)
		if n == 0 || c.s.pending() > 0 {
			return nil // the kernel takes no more
		}
		budget -= n
	}
	return nil
}

// Recv reads what has arrived, up to a budget, and calls handle for every
// whole frame, in order. The payload is valid only during the call. handle may
// Send on this Conn and Close it, but not call Recv. An error of handle ends
// Recv and is returned as it is; the frames behind that one come with the next
// call. ErrBroken (by errors.Is) tells that the stream under a session has failed;
// any other error is final: io.EOF (by errors.Is) when the peer is
// gone (io.ErrUnexpectedEOF too when that was within a frame, or without the
// goodbye of TLS), *ProtocolError or ErrRecord when it sends garbage, ErrClosed.
func (c *Conn) Recv(handle func(Header, []byte) error) error {
	c.more = true
	last := false
	for budget := turnBudget; ; {
		if err := c.dispatch(handle); err != nil || last {
			return err
		}
		room := c.room()
		n, err := c.s.read(room, budget > 0)
		if err != nil && n == 0 {
			return c.readEnd(err, budget > 0)
		}
		c.w += n
		if err := c.counted(n); err != nil {
			return err
		}
		last = err == nil && n < len(room) // save the read that says so
		c.more = !last || budget <= 0 || c.owing()
		budget -= n
	}
}

// dispatch hands over every whole frame in the buffer.
func (c *Conn) dispatch(handle func(Header, []byte) error) error {
	for {
		if c.rErr != nil {
			return c.rErr
		}
		if c.w-c.r < HeaderSize {
			return nil
		}
		var h Header
		if err := h.Decode(c.in[c.r:]); err != nil {
			c.rErr = err
			return err
		}
		end := c.r + HeaderSize + int(h.Len)
		if c.w < end {
			return nil
		}
		payload := c.in[c.r+HeaderSize : end : end]
		c.r = end
		if h.Type == tAck {
			if c.rErr = c.acknowledged(h.ID); c.rErr != nil {
				return c.rErr
			}
			continue
		}
		if err := handle(h, payload); err != nil {
			return err
		}
	}
}

// room is where to read to: the buffer behind what it holds, never empty. A
// partial frame is moved to the front, and the buffer doubled when that frame
// fills it whole, so that memory follows what a peer sent and not what its
// header promised.
func (c *Conn) room() []byte {
	if c.in == nil {
		c.in = make([]byte, firstBuffer)
	}
	if c.r > 0 {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.in) {
		bigger := make([]byte, min(2*len(c.in), maxBuffer))
		copy(bigger, c.in)
		c.in = bigger
	}
	return c.in[c.w:]
}

// More tells whether to poll anew, for output too while Queued is not zero: the
// last Recv may have left something in the socket, or has something to send.
func (c *Conn) More() bool { return c.more }

// owing tells whether something is to be sent that nobody but Recv knows of.
func (c *Conn) owing() bool { return c.s.pending() > 0 || c.ses != nil && c.Queued() > 0 }

func (c *Conn) readEnd(err error, fresh bool) error {
	switch {
	case errors.Is(err, sys.EAGAIN):
		c.more = !fresh || c.owing()
		return nil
	case c.ses != nil && !final(err):
		c.rErr = c.ses.lost(err)
	case err == io.EOF && c.w == c.r:
		c.rErr = io.EOF
	case err == io.EOF:
		c.rErr = gone("receive frame", io.ErrUnexpectedEOF)
	case peerGone(err):
		c.rErr = gone("receive from peer", err)
	default:
		c.rErr = fmt.Errorf("receive from peer: %w", err)
	}
	return c.rErr
}

// Close gives the connection up at once; what is queued is lost. It is safe to
// call twice and from within Recv's handle.
func (c *Conn) Close() {
	if c.s != nil {
		c.s.close()
		c.s = nil
	}
	c.out.reset()
	c.wErr, c.rErr = ErrClosed, ErrClosed
}
