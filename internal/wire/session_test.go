package wire

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"popcorn/internal/sys"
)

// frayed is memory that breaks: what was under way then is lost but for a part.
type frayed struct {
	memStream
	left   int // bytes it still delivers, negative for all
	broken bool
}

func (s *frayed) read(b []byte, fresh bool) (int, error) {
	if s.left >= 0 && len(b) > s.left {
		b = b[:s.left]
	}
	if len(b) == 0 && s.left == 0 {
		s.broken = true
	}
	if s.broken {
		return 0, sys.ECONNRESET
	}
	n, err := s.memStream.read(b, fresh)
	if s.left > 0 {
		s.left -= n
	}
	return n, err
}

func (s *frayed) writev(bufs [][]byte) (int, error) {
	if s.broken {
		return 0, sys.EPIPE
	}
	return s.memStream.writev(bufs)
}

// twins are the two ends of a session over memory.
type twins struct {
	c        [2]*Conn
	s        [2]*frayed
	capacity int
	sent     [2][][]byte // by each end
	got      [2][]frame  // at each end
}

// sessionMark is the id that the twins share.
var sessionMark = SessionID{1}

func newTwins(capacity int) *twins {
	t := &twins{capacity: capacity}
	t.streams()
	for i := range t.c {
		t.c[i] = newSession(t.s[i], sessionMark, uint16(1-i))
	}
	return t
}

func (t *twins) streams() {
	x, y := memStreams(t.capacity)
	t.s = [2]*frayed{{memStream: x, left: -1}, {memStream: y, left: -1}}
}

// renew does what the handshake does.
func (t *twins) renew() error {
	tickets := [2]Ticket{t.c[0].Suspend(), t.c[1].Suspend()}
	t.streams()
	for i, c := range t.c {
		other := tickets[1-i]
		if !tickets[i].fits(uint16(1-i), claim{other.id, other.got}) {
			return fmt.Errorf("ticket %+v does not fit %+v", tickets[i], other)
		}
		if !c.Resume(&Renewal{s: t.s[i], gen: tickets[i].gen, peerGot: other.got}) {
			return errors.New("ticket refused")
		}
	}
	return nil
}

func (t *twins) send(from, size int) error {
	p := pattern(size, len(t.sent[from])+from)
	t.sent[from] = append(t.sent[from], bytes.Clone(p))
	err := t.c[from].Send(Header{Type: TMap, ID: uint64(len(t.sent[from]))}, p[:size/3], p[size/3:])
	clear(p) // the caller's again
	return err
}

func (t *twins) recv(at int) error {
	err := t.c[at].Recv(collect(&t.got[at]))
	if errors.Is(err, ErrBroken) {
		return nil
	}
	return err
}

// finish delivers everything and compares.
func (t *twins) finish() error {
	for turns := 0; len(t.got[0]) < len(t.sent[1]) || len(t.got[1]) < len(t.sent[0]); turns++ {
		if turns > 100_000 {
			return fmt.Errorf("stuck: %d of %d, %d of %d frames", len(t.got[0]), len(t.sent[1]), len(t.got[1]), len(t.sent[0]))
		}
		for i, c := range t.c {
			if err := c.Flush(); err != nil {
				return err
			}
			if err := t.recv(i); err != nil {
				return err
			}
		}
	}
	for i := range t.c {
		if len(t.got[i]) != len(t.sent[1-i]) {
			return fmt.Errorf("%d frames for %d", len(t.got[i]), len(t.sent[1-i]))
		}
		for k, f := range t.got[i] {
			if f.h.ID != uint64(k+1) || !bytes.Equal(f.p, t.sent[1-i][k]) {
				return fmt.Errorf("frame %d differs: %v", k, f.h)
			}
		}
	}
	return nil
}

// TestCutAnywhere cuts a connection behind every byte, and the one after it again:
// each frame arrives once, in order, both ways.
func TestCutAnywhere(t *testing.T) {
	sizes := []int{0, 5, 40, 1}
	total := 0
	for _, n := range sizes {
		total += HeaderSize + n
	}
	for first := range total + 1 {
		for _, second := range []int{0, HeaderSize + 1} {
			w := newTwins(64 << 10)
			for _, cutAt := range []int{first, second} {
				w.s[0].left, w.s[1].left = cutAt, max(0, total-cutAt)
				for i := range sizes {
					w.must(t, w.send(0, sizes[i]), w.send(1, sizes[len(sizes)-1-i]))
				}
				w.must(t, w.recv(0), w.recv(1), w.recv(0), w.recv(1))
				w.must(t, w.renew())
			}
			w.must(t, w.finish())
		}
	}
}

func (w *twins) must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestCutsAtRandom: whatever two ends send, whenever, with cuts that one of them
// notices or both, everything arrives once and in order, and no end keeps more
// than the other has not got and not said to have.
func TestCutsAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTwins(rapid.IntRange(500, 200<<10).Draw(t, "capacity"))
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(4000, 5000), rapid.IntRange(0, 300_000))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			end := rapid.IntRange(0, 1).Draw(t, "end")
			switch rapid.SampledFrom([]string{"send", "send", "send", "recv", "recv", "flush", "hold", "fray", "cut", "renew"}).Draw(t, "step") {
			case "send":
				must(w.send(end, size.Draw(t, "size")))
			case "recv":
				must(w.recv(end))
			case "flush":
				must(w.c[end].Flush())
			case "hold":
				w.c[end].Hold()
			case "fray": // the end hears a part of what is under way, and then of the cut
				w.s[end].left = rapid.IntRange(0, 50_000).Draw(t, "left")
			case "cut":
				w.s[end].broken = true
			case "renew":
				must(w.renew())
			}
			for i, c := range w.c {
				if over := c.out.size - c.kept(); c.kept() > w.capacity+int(w.c[1-i].ses.got-w.c[1-i].ses.told)+ackBehind(w.c[1-i]) {
					t.Fatalf("end %d keeps %d bytes and %d unsent", i, c.kept(), over)
				}
			}
		}
		must(w.renew())
		must(w.finish())
	})
}

// ackBehind bounds what the other end may keep although c has said to have it: the
// word of it is still in c's queue or under way.
func ackBehind(c *Conn) int { return int(c.ses.told) }

// TestKeepsLittle: of a long stream no more is kept than is under way and about
// half a megabyte.
func TestKeepsLittle(t *testing.T) {
	const capacity = 100 << 10
	w := newTwins(capacity)
	page := pattern(64<<10, 1)
	n := 0
	for range 2000 {
		w.must(t, w.c[0].Send(Header{Type: TMap}, page))
		for w.c[0].Queued() > 0 {
			w.must(t, w.c[0].Flush(), w.c[1].Recv(func(Header, []byte) error { n++; return nil }), w.recv(0))
		}
		if kept := w.c[0].out.size; kept > ackNow+capacity+len(page)+HeaderSize {
			t.Fatalf("%d bytes kept", kept)
		}
	}
	if n < 1990 {
		t.Errorf("%d frames", n)
	}
	if len(w.c[0].out.spare) > maxSpare || len(w.c[0].out.chunks) > 5 {
		t.Errorf("%d chunks, %d spare", len(w.c[0].out.chunks), len(w.c[0].out.spare))
	}
}

// TestAnswersCarryAcknowledgements: where frames go both ways, what is kept is less,
// and no frame is sent for it alone.
func TestAnswersCarryAcknowledgements(t *testing.T) {
	w := newTwins(64 << 10)
	page := pattern(4096, 1)
	for range 1000 {
		w.must(t, w.c[0].Send(Header{Type: TMap}, page))
		w.must(t, w.c[1].Recv(func(Header, []byte) error { return w.c[1].Send(Header{Type: TUnmapped}) }), w.recv(0))
		if kept := w.c[0].out.size; kept > ackSoon+2*(len(page)+HeaderSize) {
			t.Fatalf("%d bytes kept", kept)
		}
	}
}

// TestOutageIsBounded: what is sent while the connection is broken waits, up to the
// limit; then nothing of a frame is taken, and nothing that was taken is lost.
func TestOutageIsBounded(t *testing.T) {
	w := newTwins(4096)
	for _, c := range w.c {
		c.limit = 100_000
	}
	w.c[0].Suspend()
	for {
		err := w.send(0, 1000)
		if errors.Is(err, ErrQueueFull) {
			w.sent[0] = w.sent[0][:len(w.sent[0])-1]
			break
		}
		w.must(t, err)
	}
	if n := len(w.sent[0]); n != 96 || w.c[0].Queued() != 0 {
		t.Errorf("%d frames, %d bytes to poll for", n, w.c[0].Queued())
	}
	w.must(t, w.renew(), w.finish())
}

// TestFalseAcknowledgements: who claims to have what was never sent talks garbage,
// and without a session there are none. Old ones come when they are sent again.
func TestFalseAcknowledgements(t *testing.T) {
	for name, c := range map[string]struct {
		at      uint64
		session bool
		ok      bool
	}{
		"all":        {at: 5 * HeaderSize, session: true, ok: true},
		"ahead":      {at: 5*HeaderSize + 1, session: true},
		"old":        {at: 4*HeaderSize - 1, session: true, ok: true},
		"no session": {at: 0},
	} {
		t.Run(name, func(t *testing.T) {
			x, y := memStreams(4096)
			a, b := newConn(x), newConn(y)
			if c.session {
				b.ses = &session{id: sessionMark, acked: 4 * HeaderSize, sent: 5 * HeaderSize}
				b.out.append(make([]byte, HeaderSize))
			}
			if err := a.Send(Header{Type: tAck, ID: c.at}); err != nil {
				t.Fatal(err)
			}
			var pe *ProtocolError
			if err := b.Recv(nil); errors.As(err, &pe) == c.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestOldTickets: of two renewals only that of the last ticket counts, and none
// counts twice.
func TestOldTickets(t *testing.T) {
	w := newTwins(4096)
	c := w.c[0]
	old := c.Suspend()
	ticket := c.Suspend()
	if !c.Suspended() || c.FD() != -1 || !errors.Is(c.Recv(nil), ErrBroken) {
		t.Error("not suspended")
	}
	x, _ := memStreams(1)
	for _, use := range []struct {
		gen uint64
		ok  bool
	}{{old.gen, false}, {ticket.gen, true}, {ticket.gen, false}} {
		if got := c.Resume(&Renewal{s: x, gen: use.gen}); got != use.ok {
			t.Errorf("generation %d: %v", use.gen, got)
		}
	}
	c.Close()
	if c.Suspended() || !errors.Is(c.Send(Header{Type: TPing}), ErrClosed) || !errors.Is(c.Recv(nil), ErrClosed) {
		t.Error("not closed")
	}
}

// TestCloseWhileSuspended ends a session.
func TestCloseWhileSuspended(t *testing.T) {
	w := newTwins(4096)
	ticket := w.c[0].Suspend()
	w.c[0].Close()
	x, _ := memStreams(1)
	if w.c[0].Resume(&Renewal{s: x, gen: ticket.gen}) || !errors.Is(w.c[0].Send(Header{Type: TPing}), ErrClosed) {
		t.Error("goes on")
	}
}
