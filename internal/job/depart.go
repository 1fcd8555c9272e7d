package job

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// Kernel-internal results of interrupted calls (include/linux/errno.h).
const (
	restartSys      = -512
	restartNoIntr   = -513
	restartNoHand   = -514
	restartBlock    = -516
	sysRestart      = 219 // restart_syscall
	prGetTidAddress = 40
)

// interruptedCall is the call a thread stopped in user context was interrupted
// in by that very stop, to be made by its shadow; nil when it was in none.
func interruptedCall(r *sys.Regs) *call {
	nr := int64(r.Orig_rax)
	if nr < 0 {
		return nil
	}
	c := &call{nr: uint64(nr), args: [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}}
	switch ret := int64(r.Rax); {
	case ret == restartSys, ret == restartNoIntr, ret == restartNoHand:
		return c
	case ret == restartBlock:
		return &call{nr: sysRestart}
	case ret == -int64(sys.EINTR) && syscalls.RestartsWithEINTR(int(nr)):
		return c
	}
	return nil
}

// prepared calls f when the job is distributed and node n has joined it, or with
// the reason why not.
func (o *origin) prepared(n coherence.NodeID, t *thread, f func(error)) {
	st := o.nodes[n]
	switch {
	case st == nil:
		f(fmt.Errorf("node %d: %w", n, control.ErrNoSuchNode))
	case st.failed != nil:
		f(st.failed)
	case !o.distributed:
		o.distribute(t, func(err error) {
			if err != nil {
				f(err)
				return
			}
			o.prepared(n, t, f)
		})
	case !st.joined:
		o.join(n, f)
	default:
		f(nil)
	}
}

// distribute puts the program's memory under our hand; t is a stopped thread.
func (o *origin) distribute(t *thread, f func(error)) {
	o.waiting = append(o.waiting, f)
	if o.starting {
		return
	}
	if o.cannot != nil {
		o.waiting = nil
		f(o.cannot)
		return
	}
	o.starting = true
	o.stopWorld(func() {
		err := o.distributeNow(t)
		o.starting = false
		o.distributed = err == nil
		if err != nil {
			o.logf("distribute: %v", err)
			err = fmt.Errorf("prepare program for having threads away: %w", err)
			if !errors.Is(err, control.ErrNoSuchThread) && !errors.Is(err, sys.ESRCH) {
				o.cannot = err // half of it is there: the next try would fail for that
			}
		}
		waiting := o.waiting
		o.waiting = nil
		for _, f := range waiting {
			f(err)
		}
	})
}

func (o *origin) distributeNow(t *thread) error {
	if t = o.usable(t); t == nil {
		return fmt.Errorf("all threads are ending: %w", control.ErrNoSuchThread)
	}
	h, err := o.proc.Distribute(t.tid, o.listener >= 0)
	if err != nil {
		return err
	}
	o.butler, o.holder = o.proc.Butler, o.proc.Holder
	o.uffd = h.UFFD
	keep := []int{o.proc.Pidfd, h.UFFD.FD()}
	if h.Listener >= 0 {
		o.listener = h.Listener
		keep = append(keep, h.Listener)
		if err := o.loop.add(h.Listener, o.notified); err != nil {
			return err
		}
	}
	o.report(fromSupervisor{Keep: true}, keep...)
	if main := o.threads[o.proc.PID]; main != nil && main.callable() && main.cleartid == 0 {
		o.learnTidAddress(main)
	}
	if err := o.proc.AnonymizeAll(); err != nil {
		return err
	}
	o.mem = pager.NewHome(o.proc, h.UFFD)
	return o.newPager(o.mem, h.UFFD, o.mem.Untouched, o.idle, func(p page) { o.unmappedAtHome(p) })
}

// idle tells whether nothing of the program runs at node n, so far as can be
// told without asking there.
func (o *origin) idle(n coherence.NodeID) bool {
	for _, t := range o.threads {
		if t.node != n {
			continue
		}
		if n != coherence.Home && (t.where == away || t.where == recalled) {
			return false
		}
		if n == coherence.Home && !t.stopped && o.runs(t) {
			return false
		}
	}
	return true
}

// runs tells whether a thread at home is on a processor or waits for one: then
// its kernel names no system call it is in (proc(5), /proc/PID/syscall).
func (o *origin) runs(t *thread) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", o.proc.PID, t.tid))
	return err == nil && bytes.HasPrefix(b, []byte("running"))
}

// usable is t or, when it has ended meanwhile, another thread that stands
// stopped and can make calls for us.
func (o *origin) usable(t *thread) *thread {
	if t.callable() {
		return t
	}
	for _, other := range o.threads {
		if other.callable() {
			return other
		}
	}
	return nil
}

// unmappedAtHome cannot happen to a thread: home's faults come from mappings
// that are there. A mapping that went meanwhile needs no more than a wake-up.
func (o *origin) unmappedAtHome(p page) { o.uffd.Wake(uint64(p.Addr()), vm.PageSize) }

// learnTidAddress notes where the kernel clears the first thread's id when it
// exits; of others it is known from their making (clearedAt).
func (o *origin) learnTidAddress(t *thread) {
	a, err := o.proc.TidAddress(t.tid)
	if err != nil {
		o.logf("tid address of %d: %v", t.tid, err)
		return
	}
	t.cleartid = a
}

// join makes node n part of the running program.
func (o *origin) join(n coherence.NodeID, f func(error)) {
	st := o.nodes[n]
	st.joining = append(st.joining, f)
	if len(st.joining) > 1 {
		return
	}
	ms, err := o.proc.Mappings()
	if err != nil {
		o.joined(n, err)
		return
	}
	o.send(n, wire.Header{Type: wire.TJoin, ID: uint64(o.epoch), Count: uint32(o.proc.PID)}, encodeMappings(ms))
}

func (o *origin) joined(n coherence.NodeID, err error) {
	st := o.nodes[n]
	st.joined = err == nil
	if st.joined && o.stoppedJob {
		o.send(n, wire.Header{Type: wire.TFreeze})
	}
	waiting := st.joining
	st.joining = nil
	for _, f := range waiting {
		f(err)
	}
}

// depart moves the stopped thread t, which stands in user code or in a call
// that our stop interrupted, to node n. When it cannot go it stays and runs on.
func (o *origin) depart(t *thread, n coherence.NodeID) {
	if t.where != atHome {
		return
	}
	if n == coherence.Home {
		t.errand = false
		o.resume(t, 0)
		return
	}
	if t.since == 0 {
		t.since = sys.Monotonic()
	}
	t.to(leaving)
	t.node = n
	o.prepared(n, t, func(err error) {
		if t.where != leaving {
			return
		}
		if err != nil {
			o.stay(t, err)
			return
		}
		o.withoutRseq(t, func(err error) {
			if t.place != n {
				o.redirect(t)
				return
			}
			if err == nil {
				err = o.send1(t, n)
			}
			if err != nil {
				o.stay(t, err)
			}
		})
	})
}

// withoutRseq ends t's restartable sequences, then calls f. The kernel writes to
// their area in the course of that call, and would wait for a page that is away
// while this loop waits for the call: so the area is held at home.
func (o *origin) withoutRseq(t *thread, f func(error)) {
	c, err := sys.GetRseq(t.tid)
	if err != nil || c.Ptr == 0 {
		f(nil) // an old kernel, or nothing registered
		return
	}
	area := vm.Range{Start: vm.Addr(c.Ptr), End: vm.Addr(c.Ptr) + vm.Addr(c.Size)}.Pages()
	o.pager.Hold([]run{area}, coherence.Write, func(id uint64) {
		o.loop.post(func() { o.release(id) })
		if t.where != leaving || !t.stopped {
			return
		}
		o.populate([]run{area})
		f(o.proc.DropRseq(t.tid, c))
	})
}

// redirect handles a thread that was asked to go elsewhere before it could leave.
func (o *origin) redirect(t *thread) {
	t.to(atHome)
	t.node = coherence.Home
	if t.place == coherence.Home {
		t.since = 0
		t.finishMove(nil)
	}
	o.depart(t, t.place)
}

// stay gives up a departure.
func (o *origin) stay(t *thread, err error) {
	o.logf("thread %d stays: %v", t.tid, err)
	o.stats.wentHome["could not leave: "+rootCause(err)]++
	t.to(atHome)
	t.node, t.place, t.errand, t.since = coherence.Home, coherence.Home, false, 0
	t.finishMove(fmt.Errorf("%w: %w", control.ErrRefused, err))
	if f := t.refused; f != nil {
		t.refused = nil
		f()
		return
	}
	o.resume(t, 0)
}

func rootCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// send1 takes the thread's state and starts it there.
func (o *origin) send1(t *thread, n coherence.NodeID) error {
	if t.slot == 0 {
		if t.slot = o.proc.Slots.Alloc(); t.slot < 0 {
			t.slot = 0
			return errors.New("too many threads are away")
		}
	}
	ctx, err := guest.Save(t.tid)
	if err != nil {
		return err
	}
	c := interruptedCall(&ctx.Regs)
	if c != nil && c.nr != sysRestart && syscalls.LookupCall(int(c.nr), c.args).Class == syscalls.GoHome {
		// No shadow can make it: the thread begins it again, there.
		ctx.Again(c.nr)
		c = nil
	}
	if err := o.proc.Park(t.tid, t.slot); err != nil {
		return err
	}
	t.errand, t.refused = false, nil
	t.node, t.place = n, n
	if c != nil {
		c.begun = true
		t.ctx = ctx
		t.to(leavingIn)
		o.post(t, c)
		o.resume(t, 0)
		t.finishMove(nil)
		return nil
	}
	if int64(ctx.Regs.Orig_rax) >= 0 {
		ctx.Regs.Orig_rax = ^uint64(0)
	}
	t.to(away)
	o.arrive(t, ctx)
	o.resume(t, 0) // to wait as a shadow, while its user state is on its way
	return nil
}

// arrive transmits a thread to its node, the pages it is about to touch first.
func (o *origin) arrive(t *thread, ctx *guest.Context) {
	o.stats.moved(coherence.Home, t.node)
	o.together(t.node, func() { o.transmit(t, ctx) })
	o.stats.peak(t.node, o.count(t.node))
}

func (o *origin) transmit(t *thread, ctx *guest.Context) {
	n := t.node
	r := &ctx.Regs
	o.announce(n, r.Rsp, r.Fs_base, r.Rip)
	o.pager.Push(n, run{First: vm.Addr(r.Rsp).Page(), N: 1}, coherence.Write)
	if r.Fs_base != 0 {
		o.pager.Push(n, run{First: vm.Addr(r.Fs_base).Page(), N: 1}, coherence.Write)
	}
	o.pager.Push(n, run{First: vm.Addr(r.Rip).Page(), N: 1}, coherence.Read)
	o.send(n, wire.Header{Type: wire.TArrive, ID: uint64(t.tid)}, ctx.Append(nil))
}

// announce tells a node the mappings that a thread needs at once.
func (o *origin) announce(n coherence.NodeID, addrs ...uint64) {
	var ms []vm.Mapping
	for _, a := range addrs {
		if a == 0 {
			continue
		}
		m, ok, err := o.proc.MappingAt(vm.Addr(a))
		if err == nil && ok && sharable(m.Kind) {
			ms = append(ms, m)
		}
	}
	if len(ms) > 0 {
		o.send(n, wire.Header{Type: wire.TMap}, encodeMappings(ms))
	}
}

func sharable(k vm.Kind) bool { return k == vm.Coherent || k == vm.Immutable }

// recall asks the thread's node to send it home.
func (o *origin) recall(t *thread) {
	switch t.where {
	case away, calling:
		t.to(recalled)
		o.send(t.node, wire.Header{Type: wire.TRecall, ID: uint64(t.tid)})
	case leavingIn:
		// Its user state is still here.
		o.returned(t, t.ctx, returnRecalled, 0, true)
	}
}

// Reasons why a thread comes home, in the frame's Aux.
const (
	returnRecalled uint32 = iota + 1 // it was asked to
	returnCall                       // to make call Addr here itself
	returnPopcorn                    // it made one of Popcorn's own calls
	returnTouch                      // it touched what only home has
	returnFault                      // its own fault, to be repeated here
)

var returnNames = map[uint32]string{returnRecalled: "recalled", returnPopcorn: "popcorn call",
	returnTouch: "touched memory that stays at home", returnFault: "fault"}

// returned takes a thread back whose user state is ctx. inCall tells that its
// shadow is making a call for it, or was about to.
func (o *origin) returned(t *thread, ctx *guest.Context, reason uint32, nr uint64, inCall bool) {
	if reason == returnCall {
		o.stats.wentHome[syscalls.Lookup(int(nr)).Name]++
	} else if reason != returnRecalled {
		o.stats.wentHome[returnNames[reason]]++
	}
	o.stats.moved(t.node, coherence.Home)
	from := t.node
	t.node = coherence.Home
	t.growing = 0
	if t.signal != nil {
		if !inCall {
			t.call = nil
		}
		o.returnedForSignal(t, ctx, reason, nr)
		return
	}
	if inCall && o.stillCalling(t, ctx) {
		t.ctx = ctx
		t.to(homeIn)
		t.call.remote = false
		if o.afterReturn(t) {
			return
		}
		t.finishMove(nil)
		return
	}
	t.call = nil
	if t.where != atHome {
		t.to(atHome)
	}
	o.bring(t, landing{ctx, reason, nr, from})
}

// bring gives a thread that is home its user state as soon as it stops: at once,
// or at our interrupt, or at whatever comes before that.
func (o *origin) bring(t *thread, l landing) {
	t.landing = &l
	switch {
	case !t.stopped:
		if err := sys.Interrupt(t.tid); err != nil && !errors.Is(err, sys.ESRCH) {
			o.fail(fmt.Errorf("interrupt thread %d: %w", t.tid, err))
		}
	case !t.group: // else it stops anew when the process goes on
		o.land(t, 0)
	}
}

// stillCalling tells whether the shadow of a thread that came home in a call is
// still at it; otherwise ctx becomes that after the call, or before it when it
// was never begun.
func (o *origin) stillCalling(t *thread, ctx *guest.Context) bool {
	c := t.call
	switch {
	case c == nil:
		return false
	case c.done && c.interrupted:
		ctx.Interrupted(c.nr, c.ret)
	case c.done:
		ctx.Result(c.ret)
	case !c.posted && c.begun: // ctx is that of the interrupted call
	case !c.posted && c.waited:
		ctx.Result(^uint64(sys.EINTR) + 1)
	case !c.posted:
		ctx.Again(c.nr)
	default:
		return true
	}
	t.call = nil
	return false
}

// afterReturn sends a thread on that came home in a call only on the way to
// another node.
func (o *origin) afterReturn(t *thread) bool {
	if t.place == coherence.Home || t.since == 0 {
		return false
	}
	t.to(leavingIn)
	t.node = t.place
	t.finishMove(nil)
	return true
}

// land gives the stopped shadow its user state back and lets it run on, with
// signal sig if it stands stopped on one.
func (o *origin) land(t *thread, sig sys.Signal) {
	l := t.landing
	t.landing = nil
	if sig != 0 && l.reason == returnPopcorn {
		l.ctx.Again(l.nr) // after the handler
		l.reason = returnCall
	}
	if err := l.ctx.Load(t.tid); err != nil {
		if !errors.Is(err, sys.ESRCH) {
			o.fail(err)
		}
		return
	}
	switch {
	case l.reason == returnPopcorn:
		o.popcornCall(t, int(l.nr), l.ctx, l.from)
		return
	case l.reason == returnRecalled && sig == 0 && t.place != coherence.Home:
		o.depart(t, t.place) // on its way from one remote to another
		return
	case t.place == coherence.Home:
		t.finishMove(nil)
	}
	t.errand = t.place != coherence.Home
	if l.reason == returnTouch && t.errand && sig == 0 {
		o.lingerAtHome(t)
	}
	o.resume(t, sig)
}

// lingerAtHome sends a thread out again that makes no system call after it
// touched something here.
func (o *origin) lingerAtHome(t *thread) {
	t.errand = false // not stopped at its calls: they may be many
	place := t.place
	o.loop.after(visit, func() {
		if t.where != atHome || t.place != place {
			return
		}
		o.interrupt(t, func() { o.goBack(t) })
	})
}

// visit is how long a thread stays home that touched what only home has.
const visit = 10 * time.Millisecond

// goBack lets a stopped thread that was home on an errand go where it belongs.
func (o *origin) goBack(t *thread) {
	if t.where == atHome && t.place != coherence.Home && !t.exiting {
		o.depart(t, t.place)
		return
	}
	if t.where != leaving { // else it is kept stopped until it can go
		o.resume(t, 0)
	}
}

// moveTo moves thread t to node n, from wherever it is; done is told the end.
func (o *origin) moveTo(t *thread, n coherence.NodeID, done func(error)) {
	if n != coherence.Home && o.nodes[n] == nil {
		done(fmt.Errorf("node %d: %w", n, control.ErrNoSuchNode))
		return
	}
	if n != coherence.Home && o.distributed && !o.nodes[n].joined {
		// Before anything else: one that is in a call has nowhere to wait for it.
		o.prepared(n, t, func(err error) {
			if err != nil {
				done(err)
				return
			}
			o.moveTo(t, n, done)
		})
		return
	}
	if t.where == gone || t.exiting {
		done(control.ErrNoSuchThread)
		return
	}
	t.place = n
	if t.node == n && t.where != recalled && !t.errand {
		done(nil)
		return
	}
	t.moved = append(t.moved, done)
	t.since = sys.Monotonic()
	switch t.where {
	case atHome:
		o.interrupt(t, func() { o.goBack(t) })
	case homeIn:
		t.node = n
		t.to(leavingIn)
		t.finishMove(nil)
	case leavingIn:
		t.node = n
		if n == coherence.Home {
			t.to(homeIn)
		}
		t.finishMove(nil)
	case away, calling:
		o.recall(t)
	}
}
