package pager

import (
	"errors"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// ErrNoMapping tells that there is no memory, or not with these rights, where
// pages were asked for.
var ErrNoMapping = errors.New("no mapping")

// Memory is one node's guest memory. Runs given to one call may span mappings.
type Memory interface {
	// Get does op to run r, to be granted in mode, and appends its bytes to b, if
	// it found any. After a Take the pages are write-protected and still there,
	// for Drop. It fails with ErrNoMapping.
	Get(r vm.Run, op coherence.Op, mode coherence.Mode, b []byte) (out []byte, what Found, err error)
	// Put installs pages at first, write-protected when shared, and wakes.
	Put(first vm.Page, pages wire.Pages, shared bool) error
	// PutZero installs zeros.
	PutZero(r vm.Run, shared bool) error
	// Unprotect makes r writable and wakes.
	Unprotect(r vm.Run) error
	// Drop begins to zap r.
	Drop(r vm.Run) error
	// Settle waits until what Drop began has ended.
	Settle() error
	// Wake makes the kernel's state of a page agree with mode, which the node
	// has already, and wakes its waiters.
	Wake(p vm.Page, mode coherence.Mode) error
	// Bound cuts a read-ahead of n pages from p to what is mapped there.
	Bound(p vm.Page, n uint32) uint32
}

// Found is what Get found in pages.
type Found uint8

const (
	Nothing Found = iota // they were never touched: zeros, and nothing to drop
	Zeros
	Bytes
)

// Config is what a Pager must be given.
type Config struct {
	Memory  Memory
	Machine *coherence.Machine
	UFFD    *sys.UFFD
	// Send transmits a frame to a node.
	Send func(to coherence.NodeID, h wire.Header, payload ...[]byte)
	// Unmapped tells that a thread waits at an address without memory.
	Unmapped func(p vm.Page)
	// Lost may be nil. It is told of pages that this node has no copy of any more.
	Lost func(r vm.Run)
	// Caller, at home, may be nil. It is told of a fault of thread tid and tells for
	// which node's thread that makes a call.
	Caller func(tid int) coherence.NodeID
	// Clock is the time that decides about minimum holds.
	Clock func() time.Duration
	// Holds is where the numbers of holds begin: one that was got from another
	// pager, of a program that is gone, must mean nothing here.
	Holds uint64
}

// Pager is one node's. It is not safe for concurrent use.
type Pager struct {
	cfg     Config
	m       *coherence.Machine
	effects []coherence.Effect // being executed; nil outside of run
	batch   []coherence.Effect // the memory for them
	faults  [64]sys.Fault
	ahead   map[int]*streak
	held    map[uint64]func(uint64)
	lastID  uint64
	zaps    []vm.Run // to be dropped when what the batch sends has left
	// payload is that of the frame being received.
	payload wire.Pages
	buf     []byte
	bitmap  []byte
	failed  error
	gone    bool // so is the guest
	Stats   Stats
	waiting map[vm.Page]waiting
}

// waiting is a fault on its way.
type waiting struct {
	since time.Duration
	kind  faultKind
}

// New makes a pager.
func New(c Config) *Pager {
	return &Pager{cfg: c, m: c.Machine, ahead: map[int]*streak{}, held: map[uint64]func(uint64){},
		waiting: map[vm.Page]waiting{}, lastID: c.Holds}
}

// Err is the first error that broke the memory; the job cannot go on after it.
func (p *Pager) Err() error { return p.failed }

// Machine is the law, for its figures.
func (p *Pager) Machine() *coherence.Machine { return p.m }

// Readable collects all faults from the userfaultfd and serves them.
func (p *Pager) Readable() {
	for n := len(p.faults); n == len(p.faults); {
		var err error
		if n, err = p.cfg.UFFD.TryFaults(p.faults[:]); err != nil {
			if !errors.Is(err, sys.EAGAIN) {
				p.fail(fmt.Errorf("read faults: %w", err))
			}
			return
		}
		for _, f := range p.faults[:n] {
			p.fault(f)
		}
	}
}

func (p *Pager) fault(f sys.Fault) {
	page := vm.Addr(f.Addr).Page()
	access := coherence.Read
	if f.Write || f.WP {
		access = coherence.Write
	}
	now := p.cfg.Clock()
	if _, ok := p.waiting[page]; !ok {
		p.waiting[page] = waiting{now, kindOf(f)}
	}
	want := uint32(1)
	if !f.WP {
		want = max(p.cfg.Memory.Bound(page, p.readAhead(f.TID, page)), 1)
	}
	of := coherence.Home // at other nodes it means nothing
	if p.cfg.Caller != nil {
		of = p.cfg.Caller(f.TID)
	}
	p.m.FaultFor(now, of, page, access, min(want, maxRun))
	p.askAhead(now, of, page, access, want)
	p.run()
}

// askAhead asks for what lies behind the first run of want pages from page on, in
// runs of their own: a thread can go on with the first while others are on their way.
func (p *Pager) askAhead(now time.Duration, of coherence.NodeID, page vm.Page, a coherence.Access, want uint32) {
	for at := uint32(maxRun); at < want; at += maxRun {
		if p.m.Mode(page+vm.Page(at)) == coherence.Invalid {
			p.m.FaultFor(now, of, page+vm.Page(at), a, min(want-at, maxRun))
		}
	}
}

// Want asks for n pages from page on to be written here, as if a thread had faulted.
func (p *Pager) Want(page vm.Page, n uint32) {
	p.m.Fault(p.cfg.Clock(), page, coherence.Write, min(n, maxRun))
	p.run()
}

// Receive takes a coherence frame that node from sent.
func (p *Pager) Receive(from coherence.NodeID, h wire.Header, payload []byte) error {
	msg := message(h)
	if msg.HasData() {
		pages, err := wire.DecodePages(payload, int(msg.N))
		if err != nil {
			return err
		}
		p.payload = pages
	}
	p.m.Receive(p.cfg.Clock(), from, msg)
	p.run()
	p.payload = wire.Pages{}
	return nil
}

// Tick lets minimum holds end; Deadline is when it is due.
func (p *Pager) Tick() {
	p.m.Tick(p.cfg.Clock())
	p.run()
}

// Deadline is when Tick has something to do, on the clock.
func (p *Pager) Deadline() (time.Duration, bool) { return p.m.Deadline() }

// Hold brings runs home for access and keeps them there; then runs f, possibly
// before Hold returns. What f is given and Hold returns is for Release.
func (p *Pager) Hold(runs []vm.Run, a coherence.Access, f func(id uint64)) uint64 {
	id := p.newHold(f)
	p.m.Hold(p.cfg.Clock(), id, runs, a)
	p.run()
	return id
}

// HoldAll brings home every page another node owns, and lets none become
// exclusive elsewhere until Release.
func (p *Pager) HoldAll(a coherence.Access, f func(id uint64)) uint64 {
	id := p.newHold(f)
	p.m.HoldAll(p.cfg.Clock(), id, a)
	p.run()
	return id
}

// Forget makes all other nodes drop what they have of runs and keeps requests
// for them waiting; then runs f, which changes the mappings and calls Release.
func (p *Pager) Forget(runs []vm.Run, f func(id uint64)) uint64 {
	id := p.newHold(f)
	p.m.Forget(p.cfg.Clock(), id, runs)
	p.run()
	return id
}

// Release ends a hold.
func (p *Pager) Release(id uint64) {
	delete(p.held, id) // given up before it was held
	p.m.Release(p.cfg.Clock(), id)
	p.run()
}

// Lost takes a dead node out of everything. It returns the pages whose only copy
// was there.
func (p *Pager) Lost(n coherence.NodeID) []vm.Run {
	lost := p.m.Lost(p.cfg.Clock(), n)
	p.run()
	return lost
}

// Push sends pages to a node that will want them, as far as that is easy.
func (p *Pager) Push(to coherence.NodeID, r vm.Run, a coherence.Access) {
	p.m.Push(p.cfg.Clock(), to, r, a)
	p.run()
}

func (p *Pager) newHold(f func(id uint64)) uint64 {
	p.lastID++
	p.held[p.lastID] = f
	return p.lastID
}

func (p *Pager) fail(err error) {
	if p.failed == nil {
		p.failed = err
	}
}

// run executes effects until the machine has none. It is not entered again from
// within: what an effect's callback asks of the machine is drained by the loop
// that is already running.
func (p *Pager) run() {
	if p.effects != nil {
		return
	}
	batch := p.m.Drain(p.batch)
	for len(batch) > 0 {
		p.effects = batch
		for _, e := range batch {
			p.execute(e)
		}
		batch = p.m.Drain(batch[:0])
	}
	p.zap()
	p.batch, p.effects = batch[:0], nil
}

// zap begins to drop what lost its right to be here. Who was given that right is
// told before, and goes on meanwhile: that nobody here sees what they do, and the
// old content too, is the promise of Settle.
func (p *Pager) zap() {
	for _, r := range p.zaps {
		p.dropped(p.cfg.Memory.Drop(r))
	}
	p.zaps = p.zaps[:0]
}

func (p *Pager) zapLater(r vm.Run) {
	if k := len(p.zaps) - 1; k >= 0 && p.zaps[k].End() == r.First {
		p.zaps[k].N += r.N
		return
	}
	p.zaps = append(p.zaps, r)
}

// Settle ends what earlier events began. It comes before anything is done here for
// a later one: whatever another node did with a page it was granted, this node can
// learn only by such an event, and must not find the page's old content after it.
func (p *Pager) Settle() { p.dropped(p.cfg.Memory.Settle()) }

func (p *Pager) dropped(err error) { p.outcome(coherence.Effect{Kind: coherence.Drop}, err) }

func (p *Pager) execute(e coherence.Effect) {
	run := vm.Run{First: e.Page, N: e.N}
	shared := e.Mode == coherence.Shared
	var err error
	switch e.Kind {
	case coherence.Install, coherence.InstallZero, coherence.Unprotect, coherence.Wake, coherence.Held:
		if len(p.zaps) > 0 { // of this very batch
			p.zap()
			p.Settle()
		}
	}
	switch e.Kind {
	case coherence.Send:
		p.cfg.Send(e.To, header(e.Msg))
	case coherence.SendData:
		err = p.sendData(e, run)
	case coherence.Install:
		err = p.cfg.Memory.Put(e.Page, p.payload, shared)
		p.arrived(run)
		p.Stats.Received += uint64(e.N)
	case coherence.InstallZero:
		err = p.cfg.Memory.PutZero(run, shared)
		p.arrived(run)
		p.Stats.Zeros++
	case coherence.Unprotect:
		err = p.cfg.Memory.Unprotect(run)
		p.arrived(run)
	case coherence.Drop:
		p.zapLater(run)
		p.lost(run)
	case coherence.Wake:
		err = p.cfg.Memory.Wake(e.Page, e.Mode)
		p.arrived(vm.Run{First: e.Page, N: 1})
	case coherence.SignalUnmapped:
		delete(p.waiting, e.Page)
		p.cfg.Unmapped(e.Page)
	case coherence.Held:
		f := p.held[e.ID]
		delete(p.held, e.ID)
		f(e.ID)
	}
	p.outcome(e, err)
}

// outcome reports an effect without a mapping to the machine; any other error
// leaves a node with memory it should not have.
func (p *Pager) outcome(e coherence.Effect, err error) {
	switch {
	case err == nil, p.gone:
	case errors.Is(err, sys.ESRCH):
		p.gone = true // the guest is dying: nothing here means anything any more
	case errors.Is(err, ErrNoMapping) && e.Kind != coherence.Drop && e.Kind != coherence.Wake:
		p.m.Failed(p.cfg.Clock(), e)
	case errors.Is(err, ErrNoMapping):
	default:
		p.fail(fmt.Errorf("execute %v: %w", e, err))
	}
}

func (p *Pager) sendData(e coherence.Effect, run vm.Run) error {
	data, what, err := p.cfg.Memory.Get(run, e.Op, e.Msg.Mode, p.buf[:0])
	if err != nil {
		return err
	}
	p.buf = data[:0]
	p.Stats.Sent += uint64(e.N)
	if e.Op == coherence.Take {
		p.lost(run)
		if what != Nothing {
			p.zapLater(run)
		}
	}
	if what != Bytes {
		e.Msg.Flags |= coherence.Zero
		p.cfg.Send(e.To, header(e.Msg))
		return nil
	}
	bitmap, data := wire.PackPages(p.bitmap[:0], data)
	p.bitmap = bitmap
	p.Stats.Bytes += uint64(len(bitmap) + len(data))
	p.cfg.Send(e.To, header(e.Msg), bitmap, data)
	return nil
}

func (p *Pager) lost(r vm.Run) {
	if p.cfg.Lost != nil {
		p.cfg.Lost(r)
	}
}

func header(m coherence.Msg) wire.Header {
	return wire.Header{Type: wire.TCoherence, Flags: m.Flags, Node: uint16(m.Node), Count: m.N,
		Addr: uint64(m.Page), ID: m.ID, Aux: wire.PackAux(uint8(m.Kind), uint8(m.Mode), 0)}
}

func message(h wire.Header) coherence.Msg {
	kind, mode, _ := wire.UnpackAux(h.Aux)
	return coherence.Msg{Kind: coherence.Kind(kind), Mode: coherence.Mode(mode), Flags: h.Flags,
		Node: coherence.NodeID(h.Node), Page: vm.Page(h.Addr), N: h.Count, ID: h.ID}
}
