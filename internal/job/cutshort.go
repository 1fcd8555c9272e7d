package job

import (
	"errors"
	"time"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
)

// cutShort is a call of a thread at home that a stop of ours ended before its time,
// and that has to be made again in a way that the kernel does not know of:
//
//   - one that waits no longer than its argument says, in milliseconds (epoll_wait(2)).
//     How long it had waited by then nobody knows.
//   - one that had written a part (to a pipe, say: the kernel returns how much).
//
// From then on the thread is followed: the call ends when it should, however often it
// is stopped, and while the thread is anywhere but inside it the arguments are the
// program's own.
type cutShort struct {
	nr    uint64
	args  [6]uint64     // as the program gave them
	limit int           // which of them limits the wait; -1 none
	until time.Duration // when that is over
	moved uint64        // bytes that are written
	after uint64        // the instruction behind the call
}

// limited is c as a call cut short, if it has a limit that began with it; nil otherwise.
func (c *call) limited() *cutShort {
	w, _ := syscalls.Interrupted(int(c.nr))
	if w.Unit != syscalls.Millis || int32(c.args[w.Arg]) <= 0 {
		return nil
	}
	return &cutShort{nr: c.nr, args: c.args, limit: w.Arg, until: sys.Monotonic() + time.Duration(int32(c.args[w.Arg]))*time.Millisecond}
}

// rest is the arguments for what remains of the call. A wait is rounded up: it must
// not end early.
func (c *cutShort) rest() [6]uint64 {
	args := c.args
	if c.limit >= 0 {
		left := max(c.until-sys.Monotonic(), 0)
		args[c.limit] = uint64((left + time.Millisecond - 1) / time.Millisecond)
	}
	return advance(args, c.moved)
}

// advance is the arguments of read, write and their kin without the first n bytes.
func advance(args [6]uint64, n uint64) [6]uint64 {
	args[1] += n
	args[2] -= n
	return args
}

// stands tells whether r are registers of a thread that is to write the rest: before
// the call (guest.CallAgain), or behind one that the kernel is about to make again.
func (c *cutShort) stands(r *sys.Regs) bool {
	before := r.Rip == c.after-2 && r.Rax == c.nr && int64(r.Orig_rax) < 0
	behind := r.Rip == c.after && r.Orig_rax == c.nr && restarting(r)
	return c.moved > 0 && (before || behind)
}

func setArgs(r *sys.Regs, args [6]uint64) {
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = args[0], args[1], args[2], args[3], args[4], args[5]
}

// enterCut gives a call that is about to be made again the arguments for the rest.
func (o *origin) enterCut(t *thread, nr uint64) {
	c := t.cut
	if c == nil {
		return
	}
	var r sys.Regs
	if c.nr != nr || sys.GetRegs(t.tid, &r) != nil {
		t.cut = nil
		return
	}
	setArgs(&r, c.rest())
	o.put(t, &r)
}

// leaveCut gives t, at the exit of a call, its arguments back and the result of the
// whole, or has the call made again if it was stopped once more.
func (o *origin) leaveCut(t *thread) {
	c := t.cut
	if c == nil {
		return
	}
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) != nil {
		return
	}
	setArgs(&r, c.args)
	switch {
	case c.limit >= 0:
		o.put(t, &r)
		if o.world == nil || !o.mendInterrupted(t) {
			t.cut = nil
		}
		return
	case restarting(&r): // the kernel makes it again, or a handler comes first
	case failed(r.Rax):
		r.Rax, t.cut = c.moved, nil // the program meets the error at its next call, as always
	case o.world != nil && c.moved+r.Rax < c.args[2]:
		c.moved += r.Rax
		o.makeAgain(t, &call{nr: c.nr}, &r)
		return
	default:
		r.Rax, t.cut = c.moved+r.Rax, nil
	}
	o.put(t, &r)
}

// put sets the registers of t, which may be dying.
func (o *origin) put(t *thread, r *sys.Regs) {
	if err := sys.SetRegs(t.tid, r); err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("write registers of thread %d: %v", t.tid, err)
	}
}

// settleCut has a call that was cut short end with what it has written, before t
// handles a signal or goes elsewhere.
func (o *origin) settleCut(t *thread) {
	c := t.cut
	t.cut = nil
	if c == nil || c.moved == 0 {
		return
	}
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) == nil && c.stands(&r) {
		r.Rip, r.Rax, r.Orig_rax = c.after, c.moved, c.nr
		o.put(t, &r)
	}
}

// saved is the state of t and the write that it has made a part of, for an image; nil
// when it is in none.
func (c *cutShort) saved(t *thread) (*guest.Context, *image.Partial, error) {
	ctx, err := guest.Save(t.tid)
	if err != nil || !c.stands(&ctx.Regs) {
		return nil, nil, err
	}
	ctx.Regs.Rip = c.after
	ctx.Again(c.nr)
	return ctx, &image.Partial{NR: c.nr, Args: c.args, Moved: c.moved}, nil
}

// restoredCut is what a thread goes on with that was saved so.
func restoredCut(t *image.Thread) *cutShort {
	p := t.Partial
	if p == nil {
		return nil
	}
	ctx := &guest.Context{}
	ctx.Each(func(i int, v *uint64) { *v = t.Regs[i] })
	return &cutShort{nr: p.NR, args: p.Args, limit: -1, moved: p.Moved, after: ctx.Regs.Rip + 2}
}

// mendShort has t, whose write our stop cut short, write the rest before it goes on,
// and tells whether it was in one.
func (o *origin) mendShort(t *thread) bool {
	var r sys.Regs
	if t.call != nil || t.cut != nil || sys.GetRegs(t.tid, &r) != nil {
		return false
	}
	c := o.shortWrite(t, &r)
	if c == nil || o.aboutToHandle(t) {
		return false
	}
	cut := &cutShort{nr: c.nr, args: callArgs(&r), limit: -1, moved: c.moved, after: r.Rip}
	if !o.makeAgain(t, c, &r) {
		return false
	}
	t.cut = cut
	return true
}

func callArgs(r *sys.Regs) [6]uint64 { return [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9} }

// shortWrite is the rest of the call at whose exit t stands with registers r, if that
// has written less than it was to and would have waited; nil otherwise.
func (o *origin) shortWrite(t *thread, r *sys.Regs) *call {
	c := &call{nr: r.Orig_rax, args: callArgs(r)}
	if int64(r.Orig_rax) < 0 || !o.endedShort(t, c, r.Rax) {
		return nil
	}
	c.advance(r.Rax)
	return c
}
