package job

import (
	"errors"
	"fmt"
	"strings"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// Kernel-internal results of interrupted calls (include/linux/errno.h).
const (
	restartSys    = -512
	restartNoIntr = -513
	restartNoHand = -514
	restartBlock  = -516
	sysRestart    = 219 // restart_syscall
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

// depart moves the stopped thread t, which stands in user code or in a call
// that our stop interrupted, to node n. When it cannot go it stays and runs on.
func (o *origin) depart(t *thread, n coherence.NodeID) {
	if t.where != atHome {
		return
	}
	if n == coherence.Home {
		t.errand, t.steps = false, 0
		o.resume(t, 0)
		return
	}
	if t.since == 0 {
		t.since = sys.Monotonic()
	}
	o.releaseFork(t) // it stands before its call, which it will make there
	t.futex = nil
	o.settleCut(t)
	if o.signalsFirst(t) {
		return
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
			if err == nil && o.stepOut(t, n) {
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

// signalsFirst lets the kernel deliver what waits for t: who unblocks a signal
// finds its handler run when the call returns (test/guests/sig_queue.c). What
// waits for the process another thread may take, so t is looked for again.
func (o *origin) signalsFirst(t *thread) bool {
	if !o.aboutToHandle(t) {
		return false
	}
	t.errand = true
	o.lingerAtHome(t)
	o.resume(t, 0)
	return true
}

// aboutToHandle tells whether a signal waits for the stopped thread that it lets in.
// In a call that waits under a mask of its own (ppoll(2)) that one counts, which
// ptrace does not tell.
func (o *origin) aboutToHandle(t *thread) bool {
	pending, err := sys.Pending(t.tid)
	return err == nil && pending != 0 && pending&^o.signalSets(t)["SigBlk"] != 0
}

// withoutRseq ends t's restartable sequences, then calls f.
func (o *origin) withoutRseq(t *thread, f func(error)) {
	o.withRseqArea(t, func(c sys.RseqConfig) {
		switch {
		case c.Ptr == 0:
			f(nil)
		case t.where == leaving && t.stopped:
			t.rseq = c
			f(o.proc.DropRseq(t.tid, c))
		}
	})
}

// withRseqArea calls f, which makes calls through t. The kernel writes to the area of
// t's restartable sequences before it lets t run on, and would wait for a page that is
// away while this loop waits for the call: so it is held at home. c.Ptr is 0 where there
// is none.
func (o *origin) withRseqArea(t *thread, f func(c sys.RseqConfig)) {
	c, err := sys.GetRseq(t.tid)
	if err != nil || c.Ptr == 0 || !o.distributed {
		f(sys.RseqConfig{}) // an old kernel, or nothing registered
		return
	}
	area := vm.Range{Start: vm.Addr(c.Ptr), End: vm.Addr(c.Ptr) + vm.Addr(c.Size)}.Pages()
	o.pager.Hold([]run{area}, coherence.Write, func(id uint64) {
		o.loop.post(func() { o.release(id) })
		o.populate([]run{area})
		f(c)
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
	t.node, t.place, t.errand, t.since, t.steps = coherence.Home, coherence.Home, false, 0, 0
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

// canLeave tells whether nothing is left to do before the stopped thread t
// goes to node n; it then has its slot.
func (o *origin) canLeave(t *thread, n coherence.NodeID) bool {
	if st := o.nodes[n]; !o.distributed || t.sandboxed || st == nil || !st.joined || st.draining || o.takeSlot(t) != nil {
		return false
	}
	c, err := sys.GetRseq(t.tid)
	return err == nil && c.Ptr == 0
}

func (o *origin) takeSlot(t *thread) error {
	if t.slot == 0 {
		if t.slot = o.proc.Slots.Alloc(); t.slot < 0 {
			t.slot = 0
			return errors.New("too many threads are away")
		}
	}
	return nil
}

// send1 takes the thread's state and starts it there.
func (o *origin) send1(t *thread, n coherence.NodeID) error {
	ctx, err := guest.Save(t.tid)
	if err != nil {
		return err
	}
	return o.sendAs(t, n, ctx)
}

// sendAs starts t, whose user state is ctx, at node n.
func (o *origin) sendAs(t *thread, n coherence.NodeID, ctx *guest.Context) error {
	if err := o.closed(n); err != nil { // lost while the thread was got ready
		return err
	}
	if lost := o.cpu.Lost(ctx, o.nodes[n].xcr0); lost != nil {
		return fmt.Errorf("its registers hold %s, which the processor there has not", strings.Join(lost, ", "))
	}
	if err := o.takeSlot(t); err != nil {
		return err
	}
	c := interruptedCall(&ctx.Regs)
	if c != nil && c.neverInterrupted() { // it begins anew anyway, where mappings are watched
		ctx.Again(c.nr)
		c = nil
	}
	if c != nil && c.nr != sysRestart && syscalls.LookupCall(int(c.nr), c.args).Class == syscalls.GoHome {
		// No shadow can make it: the thread begins it again, there. The mask under
		// which it waited is still in force: a signal that this lets in would come
		// before the call instead of ending it.
		if err := ownMask(t.tid); err != nil {
			return err
		}
		ctx.Again(c.nr)
		c = nil
	}
	if c == nil {
		c = o.shortWrite(t, &ctx.Regs)
	}
	if err := o.proc.Park(t.tid, t.slot, ctx.Regs); err != nil {
		return err
	}
	t.errand, t.refused, t.steps = false, nil, 0
	t.node, t.place, t.left = n, n, sys.Monotonic()
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

// ownMask ends the use of a mask that a call had set for its own time (ppoll(2)). The
// kernel tells the one to be restored, and setting it is to restore it
// (PTRACE_SETSIGMASK, kernel/ptrace.c).
func ownMask(tid int) error {
	mask, err := sys.GetSigMask(tid)
	if err == nil {
		err = sys.SetSigMask(tid, mask)
	}
	if err != nil {
		return fmt.Errorf("restore signal mask of %d: %w", tid, err)
	}
	return nil
}

// baseline is the level of processor that the program is held to.
func (o *origin) baseline() guest.Baseline { return guest.Baseline(o.cfg.Spec.Baseline) }

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
	told := &o.nodes[n].told
	var ms []vm.Mapping
	for _, a := range addrs {
		if _, known := told.Find(vm.Addr(a)); known || a == 0 {
			continue
		}
		m, ok, err := o.proc.MappingAt(vm.Addr(a))
		if err == nil && ok && sharable(m.Kind) {
			ms = append(ms, m)
			told.Insert(m)
		}
	}
	if len(ms) > 0 {
		o.send(n, wire.Header{Type: wire.TMap}, encodeMappings(ms))
	}
}

func sharable(k vm.Kind) bool { return k == vm.Coherent || k == vm.Immutable }
