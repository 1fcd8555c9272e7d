package job

import (
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// traced implements role.
func (r *remote) traced(e guest.Event) {
	v := r.lent[e.TID]
	switch {
	case !e.Status.Stopped():
		if r.stub != nil && (e.TID == r.stub.PID || v != nil) {
			r.guestDied(e)
		}
	case sys.StopEvent(e.Status) == sys.EVENT_EXIT:
		sys.Cont(e.TID, 0)
	case v == nil:
		r.strange(e)
	default:
		r.visitorStopped(v, e.Status)
	}
}

// guestDied: somebody killed the stub. Pages only it had are lost.
func (r *remote) guestDied(e guest.Event) {
	how := fmt.Sprintf("exited with status %d", e.Status.ExitStatus())
	if e.Status.Signaled() {
		how = fmt.Sprintf("was killed by signal %d", e.Status.Signal())
	}
	text := fmt.Sprintf("the process that runs its threads (pid %d) %s", r.stub.PID, how)
	r.send(coherence.Home, wire.Header{Type: wire.TGone}, []byte(text))
	r.fail(fmt.Errorf("node %d: %s", r.self, text))
}

// strange handles a stop of a thread without visitor: one in the pool, or the
// stub's own, that was interrupted late. One made by the guest itself, through
// the agent's code, is an attack: the guest ends.
func (r *remote) strange(e guest.Event) {
	if r.stub == nil {
		return
	}
	if r.stub.Own(e.TID) || r.pooled(e.TID) {
		return
	}
	r.logf("stray thread %d, status %#x", e.TID, uint32(e.Status))
	r.stub.Kill()
}

func (r *remote) pooled(tid int) bool {
	for _, p := range r.pool {
		if p == tid {
			return true
		}
	}
	return false
}

func (r *remote) visitorStopped(v *visitor, status sys.WaitStatus) {
	switch sys.StopEvent(status) {
	case sys.EVENT_SECCOMP:
		r.goesHome(v)
	case sys.EVENT_STOP:
		r.interrupted(v)
	case 0:
		if v.recall { // this stop has taken the interrupt with it
			r.sendHome(v, returnRecalled, 0, outOfCall)
			return
		}
		r.faulted(v, status.StopSignal())
	default:
		sys.Cont(v.stub, 0)
	}
}

// goesHome handles a call that the thread must make at home itself.
func (r *remote) goesHome(v *visitor) {
	var regs sys.Regs
	if sys.GetRegs(v.stub, &regs) != nil {
		return
	}
	r.leave(v, int(int64(regs.Orig_rax)))
}

// leave sends a visitor home, which stands after the instruction of call nr.
func (r *remote) leave(v *visitor, nr int) {
	if call, ok := r.abi.Popcorn(nr); ok && call != syscalls.Telefork {
		r.sendHome(v, returnPopcorn, uint64(nr), func(c *guest.Context) { c.Result(0) })
		return
	}
	r.sendHome(v, returnCall, uint64(nr), func(c *guest.Context) { c.Again(uint64(nr)) })
}

// interrupted handles a stop that we asked for.
func (r *remote) interrupted(v *visitor) {
	switch {
	case v.leaveWith >= 0:
		nr := v.leaveWith
		v.state = running
		r.leave(v, nr)
	case v.recall && v.interrupted:
		r.sendHome(v, returnRecalled, 0, nil)
	case v.recall:
		r.sendHome(v, returnRecalled, 0, outOfCall)
	case r.frozen:
		v.held = true
	default:
		sys.Cont(v.stub, 0)
	}
}

// faulted handles a signal the thread caused here. One about an address may only
// mean that this node does not know the mapping yet; any other happens again at
// home, where it is delivered.
func (r *remote) faulted(v *visitor, sig sys.Signal) {
	info, err := sys.GetSigInfo(v.stub)
	if err != nil {
		return
	}
	if info.Code() <= 0 { // sent by somebody on this host
		sys.Cont(v.stub, 0)
		return
	}
	const kernelMade = 0x80 // SI_KERNEL: no address, as for a non-canonical one
	if sig == sys.SIGSEGV && info.Code() != kernelMade {
		v.state, v.query = asking, vm.Addr(info.Addr())
		r.send(coherence.Home, wire.Header{Type: wire.TQuery, ID: uint64(v.tid), Addr: info.Addr()})
		return
	}
	if sig == sys.SIGSEGV && r.readsTSC(v) {
		r.sendHome(v, returnTSC, 0, outOfCall)
		return
	}
	if sig == sys.SIGILL && r.lacking {
		r.sendHome(v, returnInstruction, 0, outOfCall)
		return
	}
	if sig == sys.SIGTRAP && info.Code() != kernelMade {
		r.sendHome(v, returnTrap, uint64(info.Code()), outOfCall)
		return
	}
	r.sendHome(v, returnFault, uint64(sig), func(c *guest.Context) {
		outOfCall(c)
		if sig == sys.SIGTRAP {
			c.Regs.Rip-- // over the breakpoint instruction
		}
	})
}

// readsTSC tells whether v stands before an instruction that reads the time
// stamp counter, which at a foreign node is not the origin's.
func (r *remote) readsTSC(v *visitor) bool {
	var regs sys.Regs
	return r.stub.Foreign && sys.GetRegs(v.stub, &regs) == nil && r.stub.ReadsTSC(vm.Addr(regs.Rip))
}

// answered takes home's word about the address at which a visitor faulted.
func (r *remote) answered(tid int, a vm.Addr, payload []byte) error {
	v := r.visitors[tid]
	if v == nil || v.state != asking || v.query != a {
		return nil
	}
	ms, err := decodeMappings(payload)
	if err != nil {
		return err
	}
	if err := r.mapIn(ms); err != nil {
		r.fail(err)
		return nil
	}
	// It may try again once, also when nothing has changed: another's question may
	// have been answered between its fault and this. What cannot be had although
	// there is a mapping, as guard regions, is a matter for home.
	again := v.asked == a
	v.asked = a
	if !again && len(ms) == 1 && sharable(ms[0].Kind) {
		v.state = running
		if r.frozen {
			v.held = true
			return nil
		}
		sys.Cont(v.stub, 0)
		return nil
	}
	reason := returnFault
	if len(ms) == 1 && !sharable(ms[0].Kind) {
		reason = returnTouch
	}
	v.state = running
	r.sendHome(v, reason, 0, outOfCall)
	return nil
}

// notified takes a call of a visitor.
func (r *remote) notified(events uint32) {
	if events&sys.EPOLLIN == 0 {
		// Polling a listener gives EPOLLERR when a signal comes meanwhile
		// (seccomp_notify_poll, kernel/seccomp.c): that passes.
		if events&sys.EPOLLHUP != 0 { // nobody is under the filter any more
			r.loop.remove(r.stub.Listener)
		}
		return
	}
	n, err := sys.TryNotifRecv(r.stub.Listener)
	if err != nil {
		return // ENOENT: the caller died before we looked
	}
	v := r.lent[n.PID]
	if v == nil {
		r.logf("call %d of stray thread %d", n.Nr, n.PID)
		r.stub.Kill()
		return
	}
	if v.recall {
		// Its call came before the interrupt; home waits for the thread.
		r.interrupt(v)
		sys.NotifSend(r.stub.Listener, n.ID, 0, sys.Errno(-restartNoIntr))
		return
	}
	v.notif = n.ID
	if _, ok := r.abi.Popcorn(n.Nr); ok {
		r.leaveFromCall(v, n.Nr)
		return
	}
	switch e := syscalls.LookupCall(n.Nr, n.Args); {
	case n.Nr == guest.ClockCall:
		r.forward(v, n)
	case n.Nr == sys.SYS_FUTEX && r.futex(v, n):
	case e.Class == syscalls.Answered:
		r.stats.answered[n.Nr]++
		r.answerIdentity(v, n)
	case e.Class == syscalls.GoHome:
		r.leaveFromCall(v, n.Nr)
	default:
		r.forward(v, n)
	}
}

// forward has a call of v made at home.
func (r *remote) forward(v *visitor, n sys.Notif) {
	v.state = inCall
	pieces, out := r.copies(n)
	v.out = out
	r.want(out) // asked for first, it is there before the result
	r.send(coherence.Home, wire.Header{Type: wire.TCall, ID: uint64(v.tid)}, encodeCall(uint64(n.Nr), n.Args, pieces)...)
}

// leaveFromCall sends a visitor home that waits in a notification.
func (r *remote) leaveFromCall(v *visitor, nr int) {
	v.state, v.leaveWith = toLeave, nr
	r.stopInCall(v)
}

func (r *remote) answerIdentity(v *visitor, n sys.Notif) {
	ret := uint64(0)
	switch n.Nr {
	case sys.SYS_GETPID:
		ret = uint64(r.homePID)
	case sys.SYS_GETTID:
		ret = uint64(v.tid)
	}
	answer(r.stub.Listener, n.ID, ret)
}

// result gives a visitor the result of its forwarded call, whose payload is what that has
// written, if copied tells so.
func (r *remote) result(tid int, ret uint64, copied bool, payload []byte) error {
	v := r.visitors[tid]
	if v == nil || v.state != inCall {
		return nil
	}
	if v.recall {
		v.state = running
		return nil // stopped by now; home knows
	}
	if copied {
		list, err := split(v.out, ret, payload)
		if err != nil {
			return err
		}
		if !r.put(list) {
			r.send(coherence.Home, wire.Header{Type: wire.TCopyOut, ID: uint64(tid), Addr: ret}, encodeDeposits(list))
			return nil
		}
	}
	v.state = running
	if r.frozen {
		r.interrupt(v)
	}
	answer(r.stub.Listener, v.notif, r.wokeAtHome(v, ret))
	return nil
}
