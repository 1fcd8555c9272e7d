package pager

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// paper is another node's memory, on paper.
type paper struct {
	page  map[vm.Page][]byte
	calls []string
}

func (m *paper) note(what string, r vm.Run) error {
	m.calls = append(m.calls, fmt.Sprintf("%s %d", what, r.N))
	return nil
}

func (m *paper) Get(r vm.Run, op coherence.Op, _ coherence.Mode, b []byte) ([]byte, Found, error) {
	m.note(op.String(), r)
	for p := r.First; p < r.End(); p++ {
		b = append(b, m.page[p]...)
	}
	return b, Bytes, nil
}

func (m *paper) Put(first vm.Page, pages wire.Pages, shared bool) error {
	for i, b := range pages.All {
		m.page[first+vm.Page(i)] = append(make([]byte, 0, vm.PageSize), b...)
	}
	return m.note("put", vm.Run{First: first, N: uint32(pages.Len())})
}

func (m *paper) PutZero(r vm.Run, shared bool) error {
	for p := r.First; p < r.End(); p++ {
		m.page[p] = make([]byte, vm.PageSize)
	}
	return m.note("zero", r)
}

func (m *paper) Drop(r vm.Run) error {
	for p := r.First; p < r.End(); p++ {
		delete(m.page, p)
	}
	return m.note("drop", r)
}

func (m *paper) Settle() error                      { return nil }
func (m *paper) Unprotect(r vm.Run) error           { return m.note("unprotect", r) }
func (m *paper) Wake(vm.Page, coherence.Mode) error { return nil }
func (m *paper) Bound(_ vm.Page, n uint32) uint32   { return n }

// pair is home with real memory and one remote on paper.
type pair struct {
	*arena
	home, away *Pager
	there      *paper
	unmapped   []vm.Page
	wire       []func() // frames on their way, in order
	onSend     func(wire.Header)
}

func newPair(t *testing.T, pages int) *pair {
	t.Helper()
	a, mem := homeArena(t, pages)
	p := &pair{arena: a, there: &paper{page: map[vm.Page][]byte{}}}
	clock := func() time.Duration { return 0 }
	machine := func(n coherence.NodeID) *coherence.Machine {
		return coherence.New(coherence.Config{Self: n, Verify: true})
	}
	to := func(other **Pager, self coherence.NodeID) func(coherence.NodeID, wire.Header, ...[]byte) {
		return func(_ coherence.NodeID, h wire.Header, payload ...[]byte) {
			if p.onSend != nil {
				p.onSend(h)
			}
			b := bytes.Join(payload, nil)
			p.wire = append(p.wire, func() { check(t, (*other).Receive(self, h, b)) })
		}
	}
	p.home = New(Config{Memory: mem, Machine: machine(0), UFFD: a.uffd, Clock: clock, Send: to(&p.away, 0)})
	p.away = New(Config{Memory: p.there, Machine: machine(1), Clock: clock, Send: to(&p.home, 1),
		Unmapped: func(page vm.Page) { p.unmapped = append(p.unmapped, page) }})
	t.Cleanup(func() {
		if err := p.home.Err(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// settle delivers frames until there are none.
func (p *pair) settle() {
	for len(p.wire) > 0 {
		deliver := p.wire[0]
		p.wire = p.wire[1:]
		deliver()
	}
}

func (p *pair) remoteFault(page vm.Page, write bool) {
	p.away.fault(sys.Fault{Addr: uint64(page.Addr()), Write: write, TID: 1})
	p.settle()
}

// serve has home answer the fault that done's thread must have.
func (p *pair) serve(done <-chan error) {
	p.home.fault(p.faultOf(done))
	p.settle()
}

func (p *pair) hold(page int) (id uint64, held *bool) {
	held = new(bool)
	id = p.home.Hold([]vm.Run{p.run(page, 1)}, coherence.Write, func(uint64) { *held = true })
	p.settle()
	return id, held
}

func (p *pair) release(id uint64) {
	p.home.Release(id)
	p.settle()
}

func TestAPageGoesAndComesBack(t *testing.T) {
	p := newPair(t, 2)
	check(t, <-p.store(0, 'h'))
	p.remoteFault(p.page(0), true)
	if p.there.page[p.page(0)][0] != 'h' || p.isPresent(0) {
		t.Fatal("the page did not move")
	}
	p.there.page[p.page(0)][0] = 'r'
	reader := p.load(0)
	p.serve(reader)
	if c := p.loaded(reader); c != 'r' {
		t.Fatalf("home reads %q", c)
	}
	writer := p.store(0, 'w')
	p.serve(writer)
	check(t, <-writer)
	if len(p.there.page) > 0 {
		t.Fatal("the remote keeps a copy of what home writes")
	}
	if p.home.Stats.Sent != 1 || p.home.Stats.Received != 1 || p.home.Stats.Read.Count != 1 {
		t.Fatalf("counted %+v", p.home.Stats)
	}
}

// TestTheZapFollowsTheGrant: it begins when the grant has left, and who asks for
// what comes next waits for its end.
func TestTheZapFollowsTheGrant(t *testing.T) {
	p := newPair(t, 1)
	check(t, <-p.store(0, 'h'))
	var order []string
	p.onSend = func(h wire.Header) {
		if kind, _, _ := wire.UnpackAux(h.Aux); coherence.Kind(kind) == coherence.Grant {
			order = append(order, "grant")
		}
	}
	p.onZap = func() { order = append(order, "zap") }
	p.onEnd = func() { order = append(order, "end") }
	p.remoteFault(p.page(0), true)
	p.home.Settle()
	p.home.Settle() // nothing more
	if got := strings.Join(order, " "); got != "grant zap end" {
		t.Fatalf("in order: %s", got)
	}
}

func TestHoldBringsHomeAndForgetDrops(t *testing.T) {
	p := newPair(t, 4)
	check(t, <-p.store(0, 'h'))
	p.remoteFault(p.page(0), true)
	p.there.page[p.page(0)][0] = 'r'
	id, held := p.hold(0)
	if !*held || !p.isPresent(0) || len(p.there.page) > 0 {
		t.Fatalf("held %v, present %v, the remote has %d", *held, p.isPresent(0), len(p.there.page))
	}
	p.remoteFault(p.page(0), false)
	if len(p.there.page) > 0 {
		t.Fatal("a held page was given away")
	}
	p.release(id)
	if p.there.page[p.page(0)][0] != 'r' {
		t.Fatal("who waited for a held page did not get it")
	}
	id = p.home.Forget([]vm.Run{p.run(0, 4)}, func(uint64) {})
	p.settle()
	p.release(id)
	if len(p.there.page) > 0 {
		t.Fatal("the remote keeps what is forgotten")
	}
}

// TestHoldsOfAnotherProgramMeanNothing: after an exec a release may come late.
func TestHoldsOfAnotherProgramMeanNothing(t *testing.T) {
	p := newPair(t, 1)
	stale, _ := p.hold(0)
	next := newPair(t, 1)
	next.home.lastID = 1 << 48 // as Config.Holds sets it
	next.hold(0)
	next.release(stale)
	next.remoteFault(next.page(0), true)
	if len(next.there.page) > 0 {
		t.Fatal("a hold was ended by the number of another program's")
	}
}

func TestNoMemoryIsSaid(t *testing.T) {
	p := newPair(t, 1)
	p.remoteFault(p.page(1), false)
	if len(p.unmapped) != 1 || p.unmapped[0] != p.page(1) {
		t.Fatalf("unmapped %v", p.unmapped)
	}
}

func TestSequentialFaultsReadAhead(t *testing.T) {
	p := newPair(t, 1)
	page, total := vm.Page(100), uint32(0)
	for range 9 {
		n := p.home.readAhead(1, page)
		page += vm.Page(n)
		total = n
	}
	if total != maxAhead {
		t.Errorf("nine faults in order ask for %d pages at last, want %d", total, maxAhead)
	}
	if n := p.home.readAhead(1, 5); n != 1 {
		t.Errorf("a fault elsewhere asks for %d pages", n)
	}
	if n := p.home.readAhead(2, page); n != 1 {
		t.Errorf("another thread's first fault asks for %d pages", n)
	}
}

func TestHistogramKeepsQuantilesToAFifth(t *testing.T) {
	var h Histogram
	for us := 1; us <= 1000; us++ {
		h.Add(time.Duration(us) * time.Microsecond)
	}
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
		if got, want := h.Quantile(q), 1000*q; got < want*0.75 || got > want*1.25 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
}
