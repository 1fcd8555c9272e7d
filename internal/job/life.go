package job

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// cloned handles a new thread, or a child that is a process of its own.
func (o *origin) cloned(t *thread) {
	id, err := sys.EventMsg(t.tid)
	if err != nil {
		o.resume(t, 0)
		return
	}
	child := int(id)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", o.proc.PID, child)); err != nil {
		o.childMade(t, child)
		return
	}
	n := o.newThread(child, o.placeFor(t))
	n.cleartid = o.clearedAt(t)
	if t.sandboxed {
		n.sandboxed, n.place = true, coherence.Home
	}
	if _, stopped := o.early[child]; stopped {
		delete(o.early, child)
		n.stopped, n.born = true, true
		o.bear(n)
	}
	o.resume(t, 0)
}

// clearedAt is where the kernel will clear the id of the thread that t, in its
// clone event, has made: that page must be at home when it exits (clone(2)).
func (o *origin) clearedAt(t *thread) vm.Addr {
	const childClearTID = 0x200000
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) != nil {
		return 0
	}
	if r.Orig_rax != sys.SYS_CLONE3 {
		if r.Rdi&childClearTID == 0 {
			return 0
		}
		return vm.Addr(r.R10)
	}
	var args [24]byte // flags, pidfd, child_tid; the kernel has just read them
	if err := o.proc.Read(vm.Addr(r.Rdi), args[:]); err != nil {
		o.logf("read clone_args of thread %d: %v", t.tid, err)
		return 0
	}
	if binary.LittleEndian.Uint64(args[:])&childClearTID == 0 {
		return 0
	}
	return vm.Addr(binary.LittleEndian.Uint64(args[16:]))
}

// placeFor chooses where a new thread of t lives.
func (o *origin) placeFor(t *thread) coherence.NodeID {
	spec := &o.cfg.Spec
	switch {
	case spec.Spread:
		o.nextSpread++
		n := spec.spreadTo(o.nextSpread)
		if n != coherence.Home && o.closed(n) != nil {
			return coherence.Home
		}
		return n
	case spec.On >= 0:
		return coherence.NodeID(spec.On)
	}
	return t.place
}

// spreadTo is where the n-th new thread goes; the program's first, at home, is 0.
func (s *Spec) spreadTo(n int) coherence.NodeID {
	if len(s.Slots) == 0 {
		return coherence.NodeID(n % s.Nodes)
	}
	total := 0
	for _, slots := range s.Slots {
		total += slots
	}
	n %= total
	for nid, slots := range s.Slots {
		if n < slots {
			return coherence.NodeID(nid)
		}
		n -= slots
	}
	return coherence.Home // not reached
}

// bear starts a new thread, which stands at its first instruction.
func (o *origin) bear(t *thread) {
	if t.place == coherence.Home {
		o.resume(t, 0)
		return
	}
	o.depart(t, t.place)
}

// forked handles a new process.
func (o *origin) forked(t *thread, status sys.WaitStatus) {
	id, err := sys.EventMsg(t.tid)
	if err != nil {
		o.resume(t, 0)
		return
	}
	if vfork := sys.StopEvent(status) == sys.EVENT_VFORK; !vfork {
		o.forkedAway(t, int(id))
	}
	o.childMade(t, int(id))
}

// childMade lets a child process go and ends the hold that its making needed:
// the kernel has copied the address space.
func (o *origin) childMade(t *thread, child int) {
	o.children[child] = true
	if _, stopped := o.early[child]; stopped {
		delete(o.early, child)
		o.letGo(child)
	}
	o.releaseFork(t)
	o.resume(t, 0)
}

func (o *origin) releaseFork(t *thread) {
	if t.forkHold != 0 {
		o.release(t.forkHold)
		t.forkHold = 0
	}
}

// trapped handles a call that stops by the filter: one of Popcorn's own.
func (o *origin) trapped(t *thread) {
	var r sys.Regs
	if err := sys.GetRegs(t.tid, &r); err != nil {
		return
	}
	nr := int(int64(r.Orig_rax))
	if _, ok := o.abi.Popcorn(nr); ok {
		o.popcornTrap(t, nr, &r)
		return
	}
	o.resume(t, 0)
}

// again makes a stopped thread that was answered restartNoIntr begin its call nr
// again; false when it stands elsewhere.
func again(tid int, nr uint64) bool {
	var r sys.Regs
	if sys.GetRegs(tid, &r) != nil || r.Orig_rax != nr || int64(r.Rax) != restartNoIntr {
		return false
	}
	guest.CallAgain(&r, nr)
	return sys.SetRegs(tid, &r) == nil
}

// copiesMemory lets t fork once home has all pages; nobody else may write until
// the kernel has copied them. What the kernel writes meanwhile must be home's alone.
func (o *origin) copiesMemory(t *thread, written []run) {
	access := coherence.Read
	if len(written) > 0 {
		access = coherence.Write
	}
	t.forkHold = o.pager.HoldAll(access, func(id uint64) {
		o.populate(written)
		o.loop.post(func() {
			if t.forkHold == id { // else it has left before its call
				o.resume(t, 0)
			}
		})
	})
}

// futexAtHome lets t make a futex call whose pages must be present at home, and
// makes it again when they were taken meanwhile.
func (o *origin) futexAtHome(t *thread, runs []run) {
	t.futex = runs
	o.pager.Hold(runs, coherence.Write, func(id uint64) {
		o.populate(runs)
		o.loop.post(func() {
			o.onceBlocked(t, mostHolds, func() { o.release(id) })
			if !t.stopped || t.where != atHome || t.futex == nil {
				return
			}
			o.stepOn(t)
		})
	})
}

// stepped handles the entry or exit stop of a system call that t is followed
// through: an errand at home, a fork, an exec, or any call of a thread at home
// when the program has no filter.
func (o *origin) stepped(t *thread) {
	at, err := sys.GetSyscallStop(t.tid)
	if err != nil {
		return // it is dying
	}
	if at.Entry {
		t.inside = true
		o.enterCut(t, at.Nr)
		if !o.catch(t, at) {
			o.stepOn(t)
		}
		return
	}
	if !t.unasked || !o.distributed || !t.callable() {
		o.behindCall(t)
		return
	}
	t.unasked = false
	o.withRseqArea(t, func(sys.RseqConfig) {
		if !t.callable() || t.where != atHome { // it has been sent on meanwhile
			t.unasked = true
			return
		}
		o.learnTidAddress(t)
		o.behindCall(t)
	})
}

// behindCall goes on with t, which stands at the exit of a system call.
func (o *origin) behindCall(t *thread) {
	var r sys.Regs
	if err := sys.GetRegs(t.tid, &r); err != nil {
		return
	}
	o.releaseFork(t)
	o.teleforkMade(t, &r)
	o.leaveCut(t)
	if t.futex != nil {
		o.futexDone(t, &r)
		return
	}
	if t.execing {
		t.execing = false
		if t.place != coherence.Home {
			o.depart(t, t.place)
			return
		}
	}
	if len(t.onStop) > 0 {
		o.runOnStop(t)
		return
	}
	if t.errand && !restarting(&r) && int64(r.Rax) != -int64(sys.EINTR) {
		o.goBack(t)
		return
	}
	o.resume(t, 0) // into its signal's handler
}

// stepOn goes from a call's entry to its exit.
func (o *origin) stepOn(t *thread) {
	if o.putOff(t, func() { o.stepOn(t) }) || o.released(t, 0) {
		return
	}
	t.stopped = false
	if len(t.onStop) > 0 {
		sys.Interrupt(t.tid)
	}
	if err := sys.SyscallStep(t.tid, 0); err != nil && !errors.Is(err, sys.ESRCH) {
		o.fail(fmt.Errorf("step thread %d: %w", t.tid, err))
	}
}

func (o *origin) futexDone(t *thread, r *sys.Regs) {
	runs := t.futex
	t.futex = nil
	if int64(r.Rax) == -int64(sys.EFAULT) && t.futexTries < maxTries {
		t.futexTries++
		t.futex = runs
		guest.CallAgain(r, sys.SYS_FUTEX)
		sys.SetRegs(t.tid, r)
		o.stepOn(t)
		return
	}
	t.futexTries = 0
	if t.errand && !restarting(r) {
		o.goBack(t)
		return
	}
	o.resume(t, 0)
}

// restarting tells whether a call ended only because a signal waits to be
// delivered: the kernel's own codes, which user code never sees.
func restarting(r *sys.Regs) bool {
	ret := int64(r.Rax)
	return ret <= restartSys && ret >= restartBlock
}

// execed handles a new program in the process: everything of the old one is
// gone, here and on all nodes.
func (o *origin) execed(t *thread) {
	former, err := sys.EventMsg(t.tid)
	place := t.place
	if err == nil && int(former) != t.tid {
		if f := o.threads[int(former)]; f != nil {
			place = f.place
			delete(o.threads, int(former))
		}
	}
	for tid, other := range o.threads {
		if other != t {
			other.where = gone
			delete(o.threads, tid)
		}
	}
	o.resetMemory()
	if o.attached() {
		o.loosen(t)
	}
	fresh := &thread{tid: t.tid, place: place, proposed: -1, stopped: true, execing: true, born: true}
	o.threads[t.tid] = fresh
	if err := o.proc.Reopen(); err != nil {
		o.fail(err)
		return
	}
	o.afterExec(fresh)
}

// afterExec starts a program, which stands in its exec event: at home it just
// runs, else it is stepped to the end of execve and departs.
func (o *origin) afterExec(t *thread) {
	if t.place == coherence.Home {
		t.execing = false
	}
	o.resume(t, 0)
}

// resetMemory forgets a program's distributed memory and has the nodes forget it.
func (o *origin) resetMemory() {
	known := o.distributed
	for _, st := range o.nodes { // one may have joined before
		known = known || st.joined || len(st.joining) > 0
	}
	if !known {
		return
	}
	if o.distributed {
		o.forgetMemory()
		o.proc.Forget()
	}
	o.epoch++
	for n, st := range o.nodes {
		if st.joined || len(st.joining) > 0 {
			o.send(n, wire.Header{Type: wire.TGone, ID: uint64(o.epoch)})
		}
		st.joined = false
		waiting := st.joining
		st.joining = nil
		for _, f := range waiting {
			f(errExeced)
		}
	}
}

// forgetMemory gives up the hand on the program's memory.
func (o *origin) forgetMemory() {
	o.distributed = false
	o.butler, o.holder, o.butlerEnds = 0, 0, false
	o.loop.remove(o.uffd.FD())
	o.uffd.Close()
	o.uffd, o.pager, o.mem = nil, nil, nil
}

var errExeced = errors.New("the program executed another")
