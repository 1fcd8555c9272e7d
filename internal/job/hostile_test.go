package job

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// noMemory is the memory of a guest there is none of: what is asked of it is
// granted, as a kernel would.
type noMemory struct{}

func (noMemory) Get(r vm.Run, _ coherence.Op, _ coherence.Mode, b []byte) ([]byte, pager.Found, error) {
	if r.N > vm.ChunkPages {
		return b, pager.Nothing, pager.ErrNoMapping
	}
	return append(b, make([]byte, int(r.N)*vm.PageSize)...), pager.Bytes, nil
}
func (noMemory) Put(vm.Page, wire.Pages, bool) error { return nil }
func (noMemory) PutZero(vm.Run, bool) error          { return nil }
func (noMemory) Unprotect(vm.Run) error              { return nil }
func (noMemory) Drop(vm.Run) error                   { return nil }
func (noMemory) Settle() error                       { return nil }
func (noMemory) Wake(vm.Page, coherence.Mode) error  { return nil }
func (noMemory) Bound(_ vm.Page, n uint32) uint32    { return n }

// noThread is a thread id that no kernel gives (above PID_MAX_LIMIT): whatever is
// asked of it fails with ESRCH, as of a thread that is dying.
const noThread = 1 << 23

// stand is a supervisor without guest: what peers tell it is all that happens.
type stand struct {
	*supervisor
	wires *wires
}

// wires are the connections of a stand by the peer's number, used again by the
// next one as long as they are open: their buffers are what a stand costs.
type wires [3]struct{ ours, theirs *wire.Conn }

func newStand(self coherence.NodeID, l *loop, w *wires) *stand {
	s := &stand{&supervisor{self: self, loop: l, run: -1, log: io.Discard, epoch: 1, links: newLinks(wire.Hello{})}, w}
	s.links.loop = l
	s.links.gone = func(n coherence.NodeID, why error) { s.role.peerLost(n, why) }
	s.cfg.Spec.Nodes = 3
	s.guest.Store(-1)
	for n := range coherence.NodeID(3) {
		if n == self {
			continue
		}
		if w[n].ours == nil {
			w[n].ours, w[n].theirs = wire.Pipe(64 << 20)
		}
		s.peers[n] = w[n].ours
	}
	m := coherence.New(coherence.Config{Self: self, HoldBase: holdBase, HoldMax: holdMax, MaxPending: 64})
	s.pager = pager.New(pager.Config{Memory: noMemory{}, Machine: m, Send: s.send, Unmapped: func(page) {}, Clock: sys.Monotonic})
	l.timers, l.posted, l.stopped = nil, nil, false
	return s
}

// spend lets the peers read what was sent to them, and returns how much it was.
func (s *stand) spend() (bytes int) {
	for n := range s.wires {
		if s.peers[coherence.NodeID(n)] == nil {
			s.wires[n].ours = nil // closed, or never there
			continue
		}
		s.wires[n].theirs.Recv(func(h wire.Header, payload []byte) error {
			bytes += wire.HeaderSize + len(payload)
			return nil
		})
	}
	return bytes
}

// standingOrigin is an origin with a thread in each place a remote can speak of.
func standingOrigin(l *loop, w *wires, slots *guest.Slots) (*stand, *origin) {
	s := newStand(coherence.Home, l, w)
	o := newOrigin(s.supervisor)
	s.role = o
	o.proc = &guest.Process{PID: noThread, Pidfd: -1, Slots: slots}
	o.proc.ButlerEnds()
	o.uffd = sys.NewUFFD(-1)
	o.mem = pager.NewHome(o.proc, o.uffd)
	o.distributed, o.listener = true, -1
	o.nodes[1].joined, o.nodes[2].joined = true, true
	for i, w := range []whereabouts{atHome, leaving, away, calling, leavingIn, recalled, homeIn, away, recalled} {
		th := o.newThread(noThread+i, 1)
		th.where, th.node, th.born, th.slot = w, 1, true, slotsFrom+i
		th.ctx = &guest.Context{}
		if w == calling || w == leavingIn || w == homeIn {
			th.call = &call{nr: 1, posted: true, remote: true}
		}
	}
	o.threads[noThread+8].signal = &delivery{sig: sys.SIGINT}
	o.threads[noThread+8].stopped = true
	return s, o
}

// slotsFrom is the first slot the threads of a stand have.
const slotsFrom = 100

// hostile takes frames from the bytes of a fuzzer: mostly well-formed, with
// numbers at their ends.
type hostile struct{ b []byte }

func (h *hostile) byte() byte {
	if len(h.b) == 0 {
		return 0
	}
	b := h.b[0]
	h.b = h.b[1:]
	return b
}

// number is a small one, one at an end of a range, or any.
func (h *hostile) number() uint64 {
	ends := []uint64{0, 1, noThread, noThread + 1, noThread + 2, noThread + 3, noThread + 4, noThread + 5, noThread + 6, noThread + 7, noThread + 8,
		vm.PageSize, uint64(userEnd), uint64(userEnd) - 1, uint64(guest.AgentRange().Start), uint64(guest.Lowest), 1 << 31, 1<<32 - 1, 1 << 52, 1<<63 - 1, 1 << 63, ^uint64(0)}
	k := h.byte()
	switch {
	case int(k) < len(ends):
		return ends[k]
	case k < 0xf0:
		return uint64(k) - uint64(len(ends))
	}
	var b [8]byte
	for i := range b {
		b[i] = h.byte()
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (h *hostile) frame() (wire.Header, []byte) {
	head := wire.Header{Type: wire.Type(h.byte()%32 + 1), Flags: h.byte(), Node: uint16(h.number()), Count: uint32(h.number()),
		Addr: h.number(), ID: h.number()}
	if !head.Type.Valid() {
		head.Type = wire.TCoherence // the law is what most frames are about
	}
	head.Aux = uint32(h.number())
	if head.Type == wire.TCoherence {
		head.Aux = wire.PackAux(h.byte()%16, h.byte()%4, 1)
	}
	payload := h.payload(head)
	head.Len = uint32(len(payload))
	return head, payload
}

// payload is one of those that are decoded somewhere.
func (h *hostile) payload(head wire.Header) []byte {
	switch h.byte() % 6 {
	case 0:
		call := [6]uint64{h.number(), h.number(), h.number(), h.number(), h.number(), h.number()}
		var pieces []piece
		for range h.byte() % 4 {
			data := make([]byte, max(h.number()%(2*maxCopied), 1))
			result := syscalls.Result{Per: uint64(h.byte() % 16), Always: h.byte()%2 == 0, Field: syscalls.Field{Step: h.byte() % 16, At: h.byte() % 8, Len: h.byte() % 8}}
			pieces = append(pieces, piece{int(h.byte()%4) - 1, uint32(h.byte() % 64), uint16(h.number() % 8192), data, uint32(h.byte()), result})
		}
		return bytes.Join(encodeCall(h.number(), call, pieces), nil)
	case 1:
		c := &guest.Context{}
		c.Regs.Rip, c.Regs.Rsp, c.Regs.Orig_rax, c.Regs.Rax = h.number(), h.number(), h.number(), h.number()
		return c.Append(nil)
	case 2:
		return encodeMappings([]vm.Mapping{{Range: vm.Range{Start: vm.Addr(h.number()), End: vm.Addr(h.number())}, Prot: vm.Prot(h.byte()), Kind: vm.Kind(h.byte())}})
	case 3:
		n := min(int(head.Count), 64)
		return wire.EncodePages(nil, slices.Repeat([]byte{h.byte()}, n*vm.PageSize))
	case 4:
		return nil
	}
	n := min(int(h.byte()), len(h.b))
	b := h.b[:n]
	h.b = h.b[n:]
	return b
}

// hostilities is what stands are made of.
type hostilities struct {
	loop             *loop
	slots            *guest.Slots
	ofHome, ofRemote wires
}

func newHostilities(t testing.TB) *hostilities {
	h := &hostilities{loop: testLoop(t)}
	fd, err := sys.Memfd("slots", 0)
	if err == nil {
		err = sys.Ftruncate(fd, 16<<20)
	}
	if err == nil {
		h.slots, err = guest.NewSlots(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.slots.Close)
	return h
}

// tell tells an origin, and a remote, what frames and acts say, and returns how
// many frames that were. They may be refused, which loses the node, and may end
// the job; nothing may panic, and little be remembered.
func (h *hostilities) tell(t *testing.T, frames, acts []byte) (n int) {
	s, o := standingOrigin(h.loop, &h.ofHome, h.slots)
	n = s.take(t, &hostile{frames}, &hostile{acts}, o)
	if n := len(o.stats.forwarded) + len(o.stats.wentHome); n > 2*maxCounted+2+len(returnNames) {
		t.Errorf("remembers %d numbers of calls", n)
	}
	r := newStand(2, h.loop, &h.ofRemote)
	r.role = newRemote(r.supervisor)
	return n + r.take(t, &hostile{frames}, &hostile{acts}, nil)
}

// FuzzFrames tells supervisors what other nodes may think of: frames that are
// well-formed, with any contents.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{1, 7, 0, 0, 0, 0, 4, 0, 0, 4, 0}, []byte{0, 0})
	for typ := range byte(24) {
		for thread := range byte(9) {
			f.Add([]byte{typ, 1, 0, 0, 0, thread + 2, 2, thread % 6, 1, 1, 1, 1, 1, 1, 1, 1}, []byte{0})
		}
	}
	h := newHostilities(f)
	f.Fuzz(func(t *testing.T, frames, acts []byte) { h.tell(t, frames[:min(len(frames), 4096)], acts) })
}

// TestRandomFrames is FuzzFrames without a guide, and so much faster.
func TestRandomFrames(t *testing.T) {
	want := 20_000
	if os.Getenv("POPCORN_SOAK") != "" {
		want = 10_000_000
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHostilities(t)
	script := make([]byte, 2048)
	for told := 0; told < want; {
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		told += h.tell(t, script[:1800], script[1800:])
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// take handles frames until there are none or the supervisor gives up. Acts are
// what happens in between at home: a call's end.
func (s *stand) take(t *testing.T, in, acts *hostile, o *origin) (n int) {
	for len(in.b) > 0 && !s.loop.stopped {
		from := coherence.NodeID(1)
		h, payload := in.frame()
		if h.Type == wire.TJoin && s.self != coherence.Home {
			continue // would start a stub; what it decodes has a target of its own
		}
		if len(in.b)%3 == 0 {
			from = 2 - s.self
		}
		if s.peers[from] == nil {
			break
		}
		n++
		if err := s.supervisor.take(from, h, payload); err != nil {
			s.giveUp(from, err)
		}
		s.settle()
		if th := threadOf(o, acts); th != nil && th.call != nil && th.call.posted && !th.call.byButler && !s.loop.stopped {
			o.callEnded(th, acts.number())
		}
		s.loop.runPosted()
		// A page a frame asked for is sent once, a word about it to each node.
		if sent := s.spend(); sent > 3*(wire.MaxPayload+wire.HeaderSize) {
			t.Fatalf("%v is answered with %d bytes", h, sent)
		}
	}
	s.spend()
	return n
}

func threadOf(o *origin, acts *hostile) *thread {
	if o == nil || len(acts.b) == 0 {
		return nil
	}
	return o.threads[noThread+int(acts.byte())%9]
}

// TestFailureIsTold: home hears why a remote ends the job.
func TestFailureIsTold(t *testing.T) {
	var w wires
	s := newStand(1, testLoop(t), &w)
	s.role = newRemote(s.supervisor)
	s.fail(fmt.Errorf("take thread 7: %w", sys.EAGAIN))
	s.fail(errors.New("what follows from it"))
	var heard []string
	w[coherence.Home].theirs.Recv(func(h wire.Header, payload []byte) error {
		heard = append(heard, fmt.Sprintf("%v %s", h.Type, payload))
		return nil
	})
	if want := "gone take thread 7: resource temporarily unavailable"; len(heard) != 1 || heard[0] != want {
		t.Errorf("home has heard %q, want %q", heard, want)
	}
}

// TestCountingIsBounded: numbers that a node makes up are not remembered for ever.
func TestCountingIsBounded(t *testing.T) {
	m := map[uint64]uint64{}
	for nr := range uint64(5000) {
		count(m, nr, otherCalls)
		count(m, 1, otherCalls)
	}
	if len(m) != maxCounted+1 || m[1] != 5001 || m[otherCalls] != 5000-maxCounted {
		t.Errorf("%d numbers, %d and %d", len(m), m[1], m[otherCalls])
	}
}
