package job

import (
	"errors"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// remote is the supervisor at any node but the origin: it holds a stub process
// whose threads lend their processor to threads of the program.
type remote struct {
	*supervisor
	abi      syscalls.ABI
	stub     *guest.Remote
	visitors map[int]*visitor // by thread id at the origin
	lent     map[int]*visitor // by thread id here
	pool     []int            // stub threads, stopped, that wait for a visitor
	mapped   vm.Set
	memory   *pager.Away
	homePID  int
	frozen   bool
	stats    remoteStats
	setUp    time.Duration // processor time that making the stub took
	// cpus are the origin's processor and the one here.
	cpus  struct{ origin, here guest.CPU }
	arena []byte // for what calls bring along
	// clockLead is how much the origin's CLOCK_MONOTONIC is ahead of the one here, or less
	// by as long as the word of it was under way; 0 where it is the same.
	clockLead time.Duration
	sleepers  []*sleeper // who waits here for a futex, in the order they came
	someLost  bool       // some of them have lost their word
	wakes     int        // of sleepers, so far
	alarm     *timer     // for the first whose time comes
	// lacking tells that the program may use instructions that are not there here.
	lacking bool
}

// visitor is a thread of the program that runs here.
type visitor struct {
	tid    int // at the origin
	stub   int // the thread here that it runs on
	state  visitorState
	notif  uint64     // of the call being made for it
	out    []promised // what that may write
	query  vm.Addr    // that home was asked about
	asked  vm.Addr    // the query before
	recall bool
	held   bool    // stopped by a freeze
	waking *waking // the call is one that wakes, at home too
	// interrupted tells that it was stopped in a call which it may go on with at home.
	interrupted bool
	// leaveWith is a call that it shall make at home, seen by notification.
	leaveWith int
}

type visitorState uint8

const (
	running visitorState = iota
	asleep               // waits here for a futex
	inCall               // waits for the result of a forwarded call
	asking               // stopped; home was asked about an address
	toLeave              // to be stopped and sent home
)

func newRemote(s *supervisor) *remote {
	return &remote{supervisor: s, visitors: map[int]*visitor{}, lent: map[int]*visitor{}, stats: newRemoteStats()}
}

func (r *remote) start() (err error) {
	r.abi, err = syscalls.ParseABI(r.cfg.Spec.ABI)
	return err
}

func (r *remote) finish() error {
	err := r.dropStub()
	r.closeAll()
	return err
}

// peerLost implements role: without home there is nothing to do here; the loss
// of another remote is home's to judge, which may still reach it.
func (r *remote) peerLost(n coherence.NodeID, err error) {
	if n == coherence.Home {
		r.logf("home is gone: %v", err)
		r.end()
		return
	}
	r.send(coherence.Home, wire.Header{Type: wire.TGone, Node: uint16(n)}, []byte(err.Error()))
}

// end is the orderly end of this supervisor: home knows the reason.
func (r *remote) end() {
	r.report(fromSupervisor{Left: true})
	r.loop.stop()
}

// dropStub ends the stub and collects it.
func (r *remote) dropStub() error {
	if r.stub == nil {
		return nil
	}
	r.stats.cpu += r.stubCPU()
	r.loop.remove(r.stub.UFFD.FD())
	r.loop.remove(r.stub.Listener)
	if err := r.stub.End(reapPatience); err != nil {
		return err // its userfaultfd must stay open as long as it lives
	}
	r.guest.Store(-1)
	r.stub.Close()
	if r.pager != nil {
		r.stats.faults.merge(&r.pager.Stats, r.pager.Machine().Stats())
	}
	r.stub, r.pager, r.memory = nil, nil, nil
	r.sleepers, r.someLost = nil, false
	r.visitors, r.lent, r.pool = map[int]*visitor{}, map[int]*visitor{}, nil
	r.mapped = vm.Set{}
	return nil
}

// frame implements role.
func (r *remote) frame(from coherence.NodeID, h wire.Header, payload []byte) error {
	if from != coherence.Home {
		return nil // between remotes only pages travel
	}
	switch h.Type {
	case wire.TJoin:
		return r.join(h, payload)
	case wire.TGone:
		if err := r.dropStub(); err != nil {
			r.fail(err)
		}
		r.epoch = uint16(h.ID)
		return nil
	case wire.TBye:
		r.end()
		return nil
	case wire.TStats:
		r.sendStats()
		return nil
	}
	if r.stub == nil {
		return nil
	}
	switch h.Type {
	case wire.TMap:
		return r.mapFrame(payload)
	case wire.TUnmap:
		r.unmap(vm.Range{Start: vm.Addr(h.Addr), End: vm.Addr(h.ID)})
	case wire.TArrive:
		return r.arrive(int(h.ID), payload)
	case wire.TCallResult:
		return r.result(int(h.ID), h.Addr, h.Flags&flagCopiedOut != 0, payload)
	case wire.TRecall:
		r.recall(int(h.ID))
	case wire.TQueryResult:
		return r.answered(int(h.ID), vm.Addr(h.Addr), payload)
	case wire.TFreeze:
		r.freeze()
	case wire.TThaw:
		r.thaw()
	default:
		return errProtocol
	}
	return nil
}

// join starts the stub for the program home describes.
func (r *remote) join(h wire.Header, payload []byte) error {
	origin, ms, err := decodeJoin(payload)
	if err != nil {
		return err
	}
	lead := origin.Clocks.Now - sys.Monotonic()
	if err := r.dropStub(); err != nil {
		return err
	}
	if from := r.cfg.Spec.ForeignFrom; from > 0 && r.cfg.Node >= from {
		origin.Clocks.Boot = "none" // a test wants another machine
	}
	r.epoch = uint16(h.ID)
	r.homePID = int(h.Count)
	reply := wire.Header{Type: wire.TJoined, Addr: h.ID}
	if err := r.startStub(origin, ms); err != nil {
		r.logf("join: %v", err)
		reply.Flags = flagRefused
		r.send(coherence.Home, reply, []byte(err.Error()))
		return nil
	}
	r.clockLead = 0
	if r.stub.Foreign {
		r.clockLead = lead
		r.logf("this is another machine than the origin's: clocks are read there")
		reply.Flags = flagForeign
	}
	reply.Count, reply.ID = uint32(r.stub.PID), r.cpus.here.XCR0
	r.send(coherence.Home, reply)
	if tid, err := r.stub.Spawn(); err == nil { // the first visitor is on its way
		r.pool = append(r.pool, tid)
	}
	return nil
}

func (r *remote) startStub(origin guest.Machine, ms []vm.Mapping) (err error) {
	r.cpus.origin, r.cpus.here = origin.CPU, guest.ReadCPU()
	r.lacking = origin.Lacks(r.cpus.here)
	if err := origin.Admits(r.cpus.here); err != nil {
		return err
	}
	classes := guest.RemoteClasses{Local: syscalls.Numbers(syscalls.Local), GoHome: syscalls.Numbers(syscalls.GoHome), Max: 470}
	classes.GoHome = append(classes.GoHome, syscalls.Numbers(syscalls.Popcorn)...)
	if r.stub, err = guest.StartRemote(r.tracer, classes, ms, origin); err != nil {
		return err
	}
	r.guest.Store(int32(r.stub.Pidfd))
	r.report(fromSupervisor{Keep: true}, r.stub.Pidfd, r.stub.UFFD.FD(), r.stub.Listener)
	r.memory = pager.NewAway(r.stub.Memory, r.stub.UFFD, r.mapped.Find)
	if err := r.newPager(r.memory, r.stub.UFFD, homeKnows{}, r.unmappedPage, r.wordsLost); err != nil {
		return err
	}
	if err := r.loop.add(r.stub.Listener, r.notified); err != nil {
		return err
	}
	err = r.mapIn(ms)
	r.setUp = 0
	r.setUp = r.stubCPU()
	return err
}

// stubCPU is the processor time that threads of the program used here.
func (r *remote) stubCPU() time.Duration {
	used, err := sys.ProcessCPU(r.stub.PID)
	if err != nil {
		return 0
	}
	return max(used-r.setUp, 0)
}

func (r *remote) mapFrame(payload []byte) error {
	ms, err := decodeMappings(payload)
	if err != nil {
		return err
	}
	if err := r.mapIn(ms); err != nil {
		r.fail(err)
	}
	return nil
}

// mapIn gives the stub's memory the protections of home's mappings ms.
func (r *remote) mapIn(ms []vm.Mapping) error {
	var todo []vm.Mapping
	for _, m := range ms {
		if !sharable(m.Kind) || m.Start < guest.Lowest || m.Range.Overlaps(guest.AgentRange()) {
			continue
		}
		for _, g := range r.mapped.Gaps(m.Range) {
			part := m
			part.Range = g
			todo = append(todo, part)
		}
		for _, have := range r.mapped.Overlapping(m.Range) {
			if have.Prot != m.Prot {
				have.Prot = m.Prot
				todo = append(todo, have)
			}
		}
		r.mapped.Insert(m)
	}
	return r.stub.Protect(todo)
}

// unmap puts out of reach what home says has changed in g, but for pages this
// node has got since: those are of the new mapping already.
func (r *remote) unmap(g vm.Range) {
	var got vm.Set
	for _, run := range r.pager.Machine().Known(runsOf(g)) {
		got.Insert(vm.Mapping{Range: run.Range()})
	}
	var gone []vm.Range
	for _, m := range r.mapped.Overlapping(g) {
		gone = append(gone, got.Gaps(m.Range)...)
	}
	r.unmapNow(gone)
}

func (r *remote) unmapNow(gs []vm.Range) {
	var todo []vm.Mapping
	for _, g := range gs {
		for _, m := range r.mapped.Overlapping(g) {
			todo = append(todo, vm.Mapping{Range: m.Range})
		}
		r.mapped.Remove(g)
	}
	if err := r.stub.Protect(todo); err != nil {
		r.fail(err)
		return
	}
	for _, g := range gs {
		// Who waits for a page there finds out by faulting again.
		r.stub.UFFD.Wake(uint64(g.Start), g.Size())
	}
}

// unmappedPage: home has no memory at p, or not with the right that was wanted.
func (r *remote) unmappedPage(p page) { r.unmapNow([]vm.Range{run{First: p, N: 1}.Range()}) }

// arrive gives a thread of the program a thread here and lets it run.
func (r *remote) arrive(tid int, payload []byte) error {
	ctx, err := guest.ParseContext(payload)
	if err != nil {
		return err
	}
	stub, err := r.borrow()
	if err == nil {
		ctx.FitFrom(r.cpus.origin, r.cpus.here)
		err = ctx.Load(stub)
	}
	if errors.Is(err, sys.EAGAIN) {
		err = fmt.Errorf("%w: there are as many threads here as may be (pids in this host's node.toml, or ulimit -u)", err)
	}
	if err != nil {
		r.fail(fmt.Errorf("take thread %d: %w", tid, err))
		return nil
	}
	v := &visitor{tid: tid, stub: stub, leaveWith: -1}
	r.visitors[tid], r.lent[stub] = v, v
	r.stats.peak = max(r.stats.peak, len(r.visitors))
	if r.frozen {
		v.held = true
	} else if err := sys.Cont(stub, 0); err != nil {
		r.fail(fmt.Errorf("start thread %d: %w", tid, err))
		return nil
	}
	r.send(coherence.Home, wire.Header{Type: wire.TArrived, ID: uint64(tid)})
	return nil
}

func (r *remote) borrow() (int, error) {
	if n := len(r.pool); n > 0 {
		stub := r.pool[n-1]
		r.pool = r.pool[:n-1]
		return stub, nil
	}
	return r.stub.Spawn()
}

// sendHome returns a stopped visitor.
func (r *remote) sendHome(v *visitor, reason uint32, nr uint64, change func(*guest.Context)) {
	ctx, err := guest.Save(v.stub)
	if err != nil {
		if !errors.Is(err, sys.ESRCH) {
			r.fail(err)
		}
		return
	}
	ctx.FitFrom(r.cpus.here, r.cpus.origin)
	if change != nil {
		change(ctx)
	}
	h := wire.Header{Type: wire.TReturn, ID: uint64(v.tid), Addr: nr, Aux: reason}
	if v.state == inCall {
		h.Flags = flagInCall
	}
	delete(r.visitors, v.tid)
	delete(r.lent, v.stub)
	r.pool = append(r.pool, v.stub)
	r.send(coherence.Home, h, ctx.Append(nil))
}

// recall stops a visitor and sends it home.
func (r *remote) recall(tid int) {
	v := r.visitors[tid]
	if v == nil {
		return // it is on its way already
	}
	v.recall = true
	switch {
	case v.held, v.state == asking:
		r.sendHome(v, returnRecalled, 0, outOfCall)
	case v.state == inCall:
		r.stopInCall(v)
	case v.state == asleep:
		r.wakeForHome(v)
	default:
		r.interrupt(v)
	}
}

// outOfCall keeps the kernel here from restarting anything: a call that was
// stopped before we saw it begins again elsewhere.
func outOfCall(ctx *guest.Context) {
	nr := ctx.Regs.Orig_rax
	if int64(nr) >= 0 && restarting(&ctx.Regs) {
		ctx.Again(nr)
		return
	}
	ctx.Regs.Orig_rax = ^uint64(0)
}

// stopInCall stops a visitor that waits for a call's result: the interrupt first,
// so that it stops before it runs on with the answer made up here.
func (r *remote) stopInCall(v *visitor) {
	r.interrupt(v)
	answer(r.stub.Listener, v.notif, 0)
}

func (r *remote) interrupt(v *visitor) {
	if err := sys.Interrupt(v.stub); err != nil && !errors.Is(err, sys.ESRCH) {
		r.fail(fmt.Errorf("interrupt thread %d: %w", v.tid, err))
	}
}

func (r *remote) freeze() {
	r.frozen = true
	for _, v := range r.visitors {
		if v.state == running && !v.held {
			r.interrupt(v)
		}
	}
}

func (r *remote) thaw() {
	r.frozen = false
	for _, v := range r.visitors {
		if v.held {
			v.held = false
			sys.Cont(v.stub, 0)
		}
	}
}
