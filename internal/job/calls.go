package job

import (
	"errors"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// notified answers the home listener: doorbells of shadows, address-space calls
// of threads at home, and calls of children that inherited the filter.
func (o *origin) notified(events uint32) {
	if events&sys.EPOLLIN == 0 {
		// Polling a listener gives EPOLLERR when a signal comes meanwhile
		// (seccomp_notify_poll, kernel/seccomp.c): that passes.
		if events&sys.EPOLLHUP != 0 { // nobody is under the filter any more
			o.loop.remove(o.listener)
		}
		return
	}
	n, err := sys.TryNotifRecv(o.listener)
	if err != nil {
		return // ENOENT: the caller died before we looked
	}
	if n.Nr == guest.Doorbell && o.threads[n.PID] != nil { // else it is for a child's supervisor, and to fail here
		o.doorbell(n)
		o.answer(n.ID, 0) // after what its node waits for has left
		return
	}
	t := o.threads[n.PID]
	if t == nil || !o.distributed {
		sys.NotifContinue(o.listener, n.ID)
		return
	}
	o.beforeCall(t, n.Nr, n.Args, &notifiedCall{o, t, n.Nr, n.ID})
}

// answer gives a notification its result. The caller may be gone.
func (o *origin) answer(id, ret uint64) { answer(o.listener, id, ret) }

func answer(listener int, id, ret uint64) error {
	if ret > ^uint64(4095) {
		return sys.NotifSend(listener, id, 0, sys.Errno(-ret))
	}
	return sys.NotifSend(listener, id, int64(ret), 0)
}

func (o *origin) doorbell(n sys.Notif) {
	t := o.threads[n.PID]
	if t == nil || t.slot == 0 || guest.SlotOf(n.Args[0]) != t.slot || t.call == nil {
		o.logf("doorbell of thread %d out of turn", n.PID)
		return
	}
	o.callEnded(t, n.Args[1])
}

// post has t's shadow make call c.
func (o *origin) post(t *thread, c *call) {
	c.posted = true
	if c.started == 0 {
		c.started = sys.Monotonic()
	}
	t.call = c
	o.proc.Slots.Post(t.slot, c.nr, t.copied.apply(c.args))
}

// callEnded takes the result of t's call to wherever t is.
func (o *origin) callEnded(t *thread, ret uint64) {
	c := t.call
	if o.callAgain(t, c, ret) || o.callRest(t, c, ret) {
		return
	}
	ret = c.total(ret)
	written := o.copiedOut(t, ret)
	defer o.unload(t)
	if c.hold != 0 {
		o.release(c.hold)
		c.hold = 0
	}
	if a := t.growing; a != 0 {
		t.growing = 0
		o.grown(t, a)
		return
	}
	if len(written) > 0 && t.where != calling {
		c.done, c.ret = true, ret
		o.deliver(t, c, written, func() { o.callOver(t, ret, nil) })
		return
	}
	o.callOver(t, ret, written)
}

// callOver is the end of callEnded. Written is what the call wrote that is not in place yet:
// the thread's node is to see to it.
func (o *origin) callOver(t *thread, ret uint64, written []filled) {
	c := t.call
	switch t.where {
	case calling:
		t.call = nil
		t.to(away)
		o.tell(t, ret, written)
	case leavingIn:
		t.call = nil
		ctx := t.ctx
		t.ctx = nil
		ctx.Result(ret)
		if o.tied(t.node, &ctx.Regs) {
			t.to(atHome)
			t.node = coherence.Home
			o.bring(t, landing{ctx, returnRecalled, 0, coherence.Home})
			return
		}
		t.to(away)
		o.arrive(t, ctx)
	case homeIn:
		t.call = nil
		ctx := t.ctx
		t.ctx = nil
		ctx.Result(ret)
		if t.signal != nil {
			o.returnedForSignal(t, ctx, returnRecalled, 0)
			return
		}
		t.to(atHome)
		o.bring(t, landing{ctx, returnRecalled, 0, coherence.Home})
	case recalled:
		c.done, c.ret = true, ret
	default:
		t.call = nil
	}
}

const maxTries = 50

// callAgain makes a call again that ended for a reason of ours alone: EINTR by
// a mere stop, or EFAULT because its futex page was away.
func (o *origin) callAgain(t *thread, c *call, ret uint64) bool {
	switch -int64(ret) {
	case int64(sys.EINTR):
		w, ok := syscalls.Interrupted(int(c.nr))
		if !ok || !w.EINTR || t.signal != nil {
			return false
		}
		if w.Unit == syscalls.Millis && int32(c.args[w.Arg]) > 0 {
			now := sys.Monotonic()
			gone := int32((now - c.started) / time.Millisecond)
			c.args[w.Arg] = uint64(max(int32(c.args[w.Arg])-gone, 0))
			c.started = now
		}
		c.waited = true
		o.post(t, c)
		return true
	case int64(sys.EFAULT):
		runs := futexPages(c.nr, c.args)
		if runs == nil || c.tries >= maxTries || t.where == recalled {
			return false
		}
		c.tries++
		o.postHolding(t, c, runs)
		return true
	}
	return false
}

// futexPages is the pages that a futex operation must find present and writable,
// because the kernel does not wait for them.
func futexPages(nr uint64, args [6]uint64) []run {
	if nr != sys.SYS_FUTEX {
		return nil
	}
	first := run{First: vm.Addr(args[0]).Page(), N: 1}
	switch args[1] & 0x7f {
	case 6, 7, 8, 13: // LOCK_PI, UNLOCK_PI, TRYLOCK_PI, LOCK_PI2
		return []run{first}
	case 5, 11, 12: // WAKE_OP, WAIT_REQUEUE_PI, CMP_REQUEUE_PI
		return []run{first, {First: vm.Addr(args[4]).Page(), N: 1}}
	}
	return nil
}

// blockingHold is how long pages stay held at least for a call that may block,
// and mostHolds how many times as long when the thread gets no processor.
const (
	blockingHold = 5 * time.Millisecond
	mostHolds    = 200
)

// onceBlocked runs f when t, which was given a call, sleeps in it or is gone.
func (o *origin) onceBlocked(t *thread, left int, f func()) {
	o.loop.after(blockingHold, func() {
		if left > 0 && t.where != gone && busy(o.proc.PID, t.tid) {
			o.onceBlocked(t, left-1, f)
			return
		}
		f()
	})
}

// busy tells whether a thread runs or waits for a processor (proc(5)).
func busy(pid, tid int) bool {
	f, err := sys.ReadStat(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	return err == nil && f[3] == "R"
}

// postHolding makes a call with pages held at home, at least until it blocks.
func (o *origin) postHolding(t *thread, c *call, runs []run) {
	if c.hold != 0 {
		o.release(c.hold)
		c.hold = 0
	}
	c.posted = true
	t.call = c
	o.pager.Hold(runs, coherence.Write, func(id uint64) {
		if t.where == gone || t.call != c || !c.posted {
			o.loop.post(func() { o.release(id) })
			return
		}
		o.populate(runs)
		c.hold = id
		o.post(t, c)
		o.onceBlocked(t, mostHolds, func() {
			if c.hold != 0 && c.hold == id {
				o.release(id)
				c.hold = 0
			}
		})
	})
}

// populate makes held pages present, which they are not if never touched.
func (o *origin) populate(runs []run) {
	for _, r := range runs {
		for p := r.First; p < r.End(); p++ {
			o.uffd.ZeroPage(uint64(p.Addr()), vm.PageSize) // EEXIST: it is there
		}
	}
}

// forwarded takes a call that remote thread t makes, with what it brings along.
func (o *origin) forwarded(t *thread, nr uint64, args [6]uint64, pieces []piece) {
	c := &call{nr: nr, args: args, started: sys.Monotonic(), remote: true}
	if t.where == recalled {
		t.call = c // not begun: it is made at home, after the signal
		return
	}
	if t.where != away {
		o.logf("thread %d makes call %d while %v", t.tid, nr, t.where)
		return
	}
	if nr == guest.ClockCall {
		o.stats.forwarded[sys.SYS_CLOCK_GETTIME]++
		o.send(t.node, wire.Header{Type: wire.TCallResult, ID: uint64(t.tid), Addr: o.readClock(args[0])})
		return
	}
	count(o.stats.forwarded, nr, otherCalls)
	t.to(calling)
	t.call = c
	o.load(t, nr, args, pieces)
	o.begin(t, c) // a shadow in a stop of the whole process finds it afterwards
}

// readClock is what a clock of the program shows, in nanoseconds. The errors make
// the thread ask the kernel.
func (o *origin) readClock(id uint64) uint64 {
	if !o.itsClocks || !sys.WallClock(int32(id)) {
		return errno(sys.ENOSYS)
	}
	return uint64(sys.ReadClock(int32(id)))
}

// begin makes a forwarded call, by the butler when it changes mappings.
func (o *origin) begin(t *thread, c *call) {
	if runs := futexPages(c.nr, c.args); runs != nil {
		o.postHolding(t, c, runs)
		return
	}
	if !changesMappings[c.nr] {
		o.post(t, c)
		return
	}
	c.posted, c.byButler = true, true
	o.addressCall(int(c.nr), c.args, func(ret uint64, handled bool) {
		c.byButler = false
		switch {
		case t.call != c:
		case handled:
			o.callEnded(t, ret)
		case t.signal == nil:
			o.post(t, c)
		default: // the shadow stands stopped: it is made after the handler
			c.posted = false
			if t.where == homeIn {
				o.returnedForSignal(t, t.ctx, returnRecalled, 0)
			}
		}
	})
}

// peek calls f with n bytes of the program's memory at a, brought home if need be.
func (o *origin) peek(a vm.Addr, n int, f func([]byte, error)) {
	b := make([]byte, n)
	err := o.proc.Read(a, b)
	if err == nil || !o.distributed || !errors.Is(err, sys.EIO) {
		f(b, err)
		return
	}
	o.held(a, n, coherence.Read, func() error { return o.proc.Read(a, b) }, func(err error) { f(b, err) })
}

// poke writes b to the program's memory at a.
func (o *origin) poke(a vm.Addr, b []byte, f func(error)) {
	if !o.distributed {
		f(o.proc.Write(a, b))
		return
	}
	o.held(a, len(b), coherence.Write, func() error { return o.proc.Write(a, b) }, f)
}

// held runs work with the pages at a held at home, then done.
func (o *origin) held(a vm.Addr, n int, access coherence.Access, work func() error, done func(error)) {
	if m, ok, err := o.proc.MappingAt(a); err != nil || !ok || access == coherence.Write && m.Prot&vm.ProtWrite == 0 {
		done(sys.EFAULT)
		return
	}
	r := vm.Range{Start: a, End: a + vm.Addr(n)}.Pages()
	o.pager.Hold([]run{r}, access, func(id uint64) {
		o.populate([]run{r})
		err := work()
		o.loop.post(func() { o.release(id) })
		done(err)
	})
}
