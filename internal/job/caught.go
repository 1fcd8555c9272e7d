package job

import (
	"encoding/binary"
	"errors"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// caughtCall is a system call that a thread at home is about to make, and that
// waits until the memory is ready for it. Exactly one method ends the wait.
type caughtCall interface {
	// pass has the kernel make it.
	pass()
	// answer ends it with ret.
	answer(ret uint64)
	// standBefore stops the thread as if it had not begun the call, then runs f;
	// unless it has been sent elsewhere, and makes the call there.
	standBefore(f func())
}

// beforeCall handles call nr, which t is about to make.
func (o *origin) beforeCall(t *thread, nr int, args [6]uint64, c caughtCall) {
	if does, all := sandboxes(nr, args); does {
		o.sandbox(t, all)
		c.pass()
		return
	}
	if followed[nr] {
		o.follow(t, nr, args, c)
		return
	}
	o.addressCall(nr, args, func(ret uint64, handled bool) {
		if handled {
			c.answer(ret)
		} else {
			c.pass()
		}
	})
}

// followed is the calls that wait for pages, and whose end must be seen: those
// that copy the address space, and futex operations.
var followed = map[int]bool{sys.SYS_CLONE: true, sys.SYS_CLONE3: true, sys.SYS_FORK: true, sys.SYS_FUTEX: true}

// follow handles a followed call: t is stopped before it, and when the pages are
// here steps through it, which is caught once more.
func (o *origin) follow(t *thread, nr int, args [6]uint64, c caughtCall) {
	if t.forkHold != 0 || t.futex != nil {
		c.pass()
		return
	}
	if runs := futexPages(uint64(nr), args); runs != nil {
		c.standBefore(func() { o.futexAtHome(t, runs) })
		return
	}
	if nr != sys.SYS_CLONE3 {
		c.standBefore(func() { o.copiesMemory(t, writtenByClone(nr, args)) })
		return
	}
	// The arguments are in memory.
	o.peek(vm.Addr(args[0]), cloneArgsSize, func(b []byte, err error) {
		if err != nil || binary.LittleEndian.Uint64(b)&cloneVM != 0 {
			c.pass()
			return
		}
		c.standBefore(func() { o.copiesMemory(t, writtenByClone3(b)) })
	})
}

// Flags of clone(2), and the part of struct clone_args that is of interest: flags,
// pidfd, child_tid, parent_tid.
const (
	cloneVM           = 0x100
	clonePidfd        = 0x1000
	cloneParentSetTID = 0x100000
	cloneArgsSize     = 32
)

// writtenByClone is what the kernel writes in the parent's memory before the child
// runs, while that memory is held for it to be copied.
func writtenByClone(nr int, args [6]uint64) []run {
	if nr == sys.SYS_CLONE && args[0]&(clonePidfd|cloneParentSetTID) != 0 {
		return []run{pagesOf(args[2])}
	}
	return nil
}

func writtenByClone3(args []byte) (runs []run) {
	flags := binary.LittleEndian.Uint64(args)
	if flags&clonePidfd != 0 {
		runs = append(runs, pagesOf(binary.LittleEndian.Uint64(args[8:])))
	}
	if flags&cloneParentSetTID != 0 {
		runs = append(runs, pagesOf(binary.LittleEndian.Uint64(args[24:])))
	}
	return runs
}

// pagesOf is the pages of an int at a.
func pagesOf(a uint64) run {
	return vm.Range{Start: vm.Addr(a), End: vm.Addr(a) + 4}.Pages()
}

// notifiedCall is one that the filter has notified of.
type notifiedCall struct {
	o  *origin
	t  *thread
	nr int
	id uint64
}

func (c *notifiedCall) pass() { sys.NotifContinue(c.o.listener, c.id) }

func (c *notifiedCall) answer(ret uint64) { c.o.answer(c.id, ret) }

// standBefore interrupts first, so that t does not run on with the answer.
func (c *notifiedCall) standBefore(f func()) {
	o, t := c.o, c.t
	o.interrupt(t, func() {
		if !again(t.tid, uint64(c.nr)) || t.where != atHome {
			if t.where != leaving { // it makes the call again wherever it goes
				o.resume(t, 0)
			}
			return
		}
		f()
	})
	sys.NotifSend(o.listener, c.id, 0, sys.Errno(-restartNoIntr))
}

// A program that was attached to has no filter: one can never be taken out of a
// process again. Its threads at home are stopped at every call instead, as long as
// other nodes have anything of its memory.

// catches tells whether t is to be stopped at its system calls.
func (o *origin) catches(t *thread) bool {
	return o.attached() && o.distributed && !o.calm && t.where == atHome
}

// catch takes a thread that stands at the entry of a call over, if the call is
// one to be caught.
func (o *origin) catch(t *thread, at sys.SyscallStop) bool {
	if !o.catches(t) {
		return false
	}
	if _, ok := o.abi.Popcorn(int(at.Nr)); ok {
		o.trapped(t)
		return true
	}
	if t.forkHold != 0 || t.futex != nil || !o.catcher.Catches(at) {
		return false
	}
	c := &tracedCall{o, t, at.Nr}
	t.caught = c
	o.beforeCall(t, int(at.Nr), at.Args, c)
	return true
}

// tracedCall is a call at whose entry the thread stands stopped.
type tracedCall struct {
	o  *origin
	t  *thread
	nr uint64
}

// over ends the wait; false when the thread has died or been let go meanwhile.
func (c *tracedCall) over() bool {
	if c.t.caught != c || !c.t.stopped {
		return false
	}
	c.t.caught = nil
	return true
}

func (c *tracedCall) pass() {
	if c.over() {
		c.o.stepOn(c.t)
	}
}

func (c *tracedCall) answer(ret uint64) {
	if !c.over() {
		return
	}
	var r sys.Regs
	if sys.GetRegs(c.t.tid, &r) != nil {
		return // killed
	}
	r.Rax, r.Orig_rax = ret, ^uint64(0)
	if sys.SetRegs(c.t.tid, &r) == nil {
		c.o.stepOn(c.t)
	}
}

func (c *tracedCall) standBefore(f func()) {
	o, t := c.o, c.t
	if !c.over() {
		return
	}
	if err := o.proc.Rewind(t.tid, c.nr); err != nil {
		o.logf("stop thread %d before its call: %v", t.tid, err) // it is dying
		return
	}
	t.inside = false
	if len(t.onStop) > 0 { // somebody wants it elsewhere first
		o.runOnStop(t)
		return
	}
	f()
}

// knock takes the report of a shadow that has nobody to hear its doorbell.
func (o *origin) knock(t *thread) bool {
	if !o.attached() || t.slot == 0 || o.proc.Slots == nil {
		return false
	}
	ret, ok, err := o.proc.Knocked(t.tid, t.slot)
	if err != nil || !ok {
		return false
	}
	if t.call == nil || !t.call.posted || t.call.byButler {
		o.logf("knock of thread %d out of turn", t.tid)
	} else {
		o.callEnded(t, ret)
	}
	if t.where != atHome && t.where != leaving { // else it has been seen to
		o.resume(t, 0)
	}
	return true
}

// settleKnock makes sure that a shadow does not stand where its signal mask is not
// its own.
func (o *origin) settleKnock(t *thread) {
	if !o.attached() || t.slot == 0 || o.proc.Slots == nil {
		return
	}
	if err := o.proc.SettleKnock(t.tid, t.slot); err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("settle shadow of thread %d: %v", t.tid, err)
	}
}
