package wire

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

const (
	// ackSoon is the bytes after which what is sent next says that they have come.
	ackSoon = 32 << 10
	// ackNow is the bytes after which that is sent even if nothing else is: the
	// peer keeps them until then.
	ackNow = 512 << 10
)

// ErrBroken marks what ended the stream under a session: the connection can be
// taken up again, see Suspend.
var ErrBroken = errors.New("connection broken")

// SessionID names a session to the two that have it. It is chosen at random and
// told inside TLS only; the zero id asks for a new session.
type SessionID [16]byte

// session is what outlives the stream of a Conn: which bytes have come, and those
// sent that the peer has not said to have. All positions count bytes of frames,
// each way from the first on, so that no frame carries a number.
type session struct {
	id     SessionID
	node   uint16 // the peer, by its certificate
	acked  uint64 // of what we send, the peer has all before it; out begins here
	sent   uint64 // what is before it was given to the stream
	got    uint64 // of what the peer sends, all before it is in our buffer
	told   uint64 // and the peer was told so up to here
	gen    uint64 // the tickets given out so far
	broken error  // why the stream takes nothing more
}

func newSessionID() (id SessionID) {
	rand.Read(id[:]) // never fails, see its documentation
	return id
}

// kept is the bytes in out that the stream was given already.
func (c *Conn) kept() int {
	if c.ses == nil {
		return 0
	}
	return int(c.ses.sent - c.ses.acked)
}

// taken notes that the stream took n bytes of what out holds behind kept.
func (c *Conn) taken(n int) {
	if c.ses == nil {
		c.out.drop(n)
		return
	}
	c.ses.sent += uint64(n)
}

// sendKept is Send with a session: the frame, whose header is in c.head, is copied
// and stays until the peer has it.
func (c *Conn) sendKept(payload [][]byte) error {
	idle := c.Queued() == 0
	c.acknowledge(ackSoon)
	c.out.append(c.head[:])
	for _, p := range payload {
		c.out.append(p)
	}
	if !idle || c.held {
		return nil
	}
	return c.flush()
}

// acknowledge tells the peer what has come if it is least bytes more than it knows.
func (c *Conn) acknowledge(least uint64) bool {
	s := c.ses
	if s.got-s.told < least {
		return false
	}
	var b [HeaderSize]byte
	h := Header{Type: tAck, ID: s.got}
	h.Encode(b[:])
	c.out.append(b[:])
	s.told = s.got
	return true
}

// counted notes n bytes that have come.
func (c *Conn) counted(n int) error {
	if c.ses == nil {
		return nil
	}
	c.ses.got += uint64(n)
	if idle := c.Queued() == 0; !c.acknowledge(ackNow) || !idle || c.held {
		return nil
	}
	return c.flush()
}

// acknowledged forgets what the peer says it has.
func (c *Conn) acknowledged(at uint64) error {
	s := c.ses
	if s == nil {
		return &ProtocolError{What: "frame type", Got: uint64(tAck), Max: uint64(typeEnd) - 1}
	}
	if at > s.sent {
		return &ProtocolError{What: "acknowledgement", Got: at, Max: s.sent}
	}
	if at < s.acked { // sent again after a cut: what came with the ticket was newer
		return nil
	}
	c.out.drop(int(at - s.acked))
	s.acked = at
	return nil
}

// lost notes why the stream is of no use any more; what is sent waits.
func (s *session) lost(err error) error {
	if s.broken == nil {
		s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return s.broken
}

// final tells what ends the session with the stream: the peer's goodbye, and what
// it would do again.
func final(err error) bool { return err == io.EOF || errors.Is(err, ErrQueueFull) }

// Session names the session, zero for none.
func (c *Conn) Session() SessionID {
	if c.ses == nil {
		return SessionID{}
	}
	return c.ses.id
}

// Ticket is what one end of a session needs to take it up again. It is good for
// one Renewal and as long as no newer one is made.
type Ticket struct {
	id               SessionID
	node             uint16
	gen              uint64
	got, acked, sent uint64
}

// Suspend gives up the stream of a session, without a goodbye, and tells how to go
// on with another. Until Resume, Send keeps what it is given, FD is -1 and Recv
// fails. It may be called again for a new ticket. Only for Conns with a Session.
func (c *Conn) Suspend() Ticket {
	s := c.ses
	if c.s != nil {
		c.s.abandon()
		c.s = nil
	}
	s.gen++
	c.held = false
	c.rErr = s.lost(errors.New("suspended"))
	return Ticket{id: s.id, node: s.node, gen: s.gen, got: s.got, acked: s.acked, sent: s.sent}
}

// Suspended tells whether the Conn waits for Resume.
func (c *Conn) Suspended() bool { return c.s == nil && c.ses != nil && c.wErr == nil }

// Renewal is a new stream for a session, made in any goroutine.
type Renewal struct {
	s       stream
	gen     uint64
	peerGot uint64
}

// Close gives a renewal up that no Conn resumes with.
func (r *Renewal) Close() { r.s.abandon() }

// Resume goes on over r, which it takes over, and false means that r's ticket was
// not the last. What the peer has not got is Queued then: poll FD anew, also for
// output.
func (c *Conn) Resume(r *Renewal) bool {
	s := c.ses
	if !c.Suspended() || r.gen != s.gen {
		r.Close()
		return false
	}
	c.out.drop(int(r.peerGot - s.acked))
	s.acked, s.sent, s.told = r.peerGot, r.peerGot, s.got
	s.gen++ // nobody may come with this ticket again
	s.broken, c.rErr = nil, nil
	c.s = r.s
	return true
}
