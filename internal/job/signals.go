package job

import (
	"errors"
	"fmt"

	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/wire"
)

// signalled handles a signal on its way to a thread's kernel part at home. For a
// thread that is away the shadow stays stopped on it until the thread is home;
// the kernel then delivers it in the thread's own context.
func (o *origin) signalled(t *thread, sig sys.Signal) {
	o.explainTrap(t, sig)
	if sig == sys.SIGTRAP && t.single {
		t.single = false
		o.inHandler(t)
		return
	}
	t.single = false
	if t.landing != nil {
		o.land(t, sig)
		return
	}
	switch {
	case sig == 0:
		o.resume(t, 0)
		return
	case t.where == atHome, t.where == leaving:
		if o.dumpFirst(t, sig) {
			return
		}
		o.mendNotBegun(t)
		if o.mendDropped(t, sig) {
			sig = 0
		}
		o.resume(t, sig)
		return
	case !o.caught(t, sig) && !o.dumps(t, sig):
		o.resume(t, sig)
		return
	}
	o.stats.wentHome["signal"]++
	t.signal, t.signalled = &delivery{sig: sig}, sys.Monotonic()
	o.settleShadow(t)
	o.deliverWritten(t)
	switch t.where {
	case homeIn:
		o.returnedForSignal(t, t.ctx, returnRecalled, 0)
	case recalled: // someone else wants it home: the signal goes along
	default:
		o.recall(t)
	}
}

// raiseTrap repeats a trap that followed an instruction of the stopped thread t,
// as a debugger's single step: its signal comes before the next one.
func (o *origin) raiseTrap(t *thread, code int, at uint64) {
	info := sys.FaultInfo(sys.SIGTRAP, code, at)
	t.trap = &info
	if err := sys.Tgkill(o.proc.PID, t.tid, sys.SIGTRAP); err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("raise trap of thread %d: %v", t.tid, err)
	}
}

// explainTrap has a signal of raiseTrap say what the original said.
func (o *origin) explainTrap(t *thread, sig sys.Signal) {
	if t.trap == nil || sig != sys.SIGTRAP {
		return
	}
	if info, err := sys.GetSigInfo(t.tid); err != nil || info.PID() != sys.Getpid() || info.Code() > 0 {
		return
	}
	if err := sys.SetSigInfo(t.tid, t.trap); err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("explain trap of thread %d: %v", t.tid, err)
	}
	t.trap = nil
}

// mendNotBegun has a call begin again after the handler, whatever its flags, that a
// signal kept from being notified of: it has not begun, and natively no signal ends it.
func (o *origin) mendNotBegun(t *thread) {
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) != nil || int64(r.Rax) != restartSys {
		return
	}
	if c := interruptedCall(&r); c != nil && c.neverInterrupted() {
		noIntr := int64(restartNoIntr)
		r.Rax = uint64(noIntr)
		o.put(t, &r)
	}
}

// neverInterrupted tells whether no signal makes the call return EINTR. They are those
// that home's filter notifies of.
func (c *call) neverInterrupted() bool {
	switch c.nr {
	case sys.SYS_SHMAT, sys.SYS_SHMDT, sys.SYS_SECCOMP, sys.SYS_PRCTL:
		return true
	case sys.SYS_FUTEX:
		return futexPages(c.nr, c.args) != nil
	}
	return changesMappings[c.nr] || followed[int(c.nr)]
}

// mendDropped has a call made again, or its rest, that a signal interrupted which comes
// to nothing, and tells whether it did: without a tracer the thread would not have
// woken. A call with a limit of time must return, for nobody knows when it began.
func (o *origin) mendDropped(t *thread, sig sys.Signal) bool {
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) != nil {
		return false
	}
	if o.shortWrite(t, &r) != nil {
		return o.comesToNothing(t, sig) && o.mendShort(t)
	}
	if int64(r.Rax) != -int64(sys.EINTR) {
		return false
	}
	c := interruptedCall(&r)
	return c != nil && c.waitsForEver() && o.comesToNothing(t, sig) && o.makeAgain(t, c, &r)
}

// ignoredByDefault is signals whose default action is to do nothing, once the
// process runs (signal(7)).
var ignoredByDefault = map[sys.Signal]bool{sys.SIGCHLD: true, sys.SIGURG: true, sys.SIGWINCH: true, sys.SIGCONT: true}

func (o *origin) comesToNothing(t *thread, sig sys.Signal) bool {
	s := o.signalSets(t)
	return has(s["SigIgn"], sig) || ignoredByDefault[sig] && !has(s["SigCgt"], sig)
}

// waitsForEver tells whether the call has no limit of time that began with it.
func (c *call) waitsForEver() bool {
	switch w, _ := syscalls.Interrupted(int(c.nr)); w.Unit {
	case syscalls.NoTimeout:
		return true
	case syscalls.Millis:
		return int32(c.args[w.Arg]) < 0
	case syscalls.Timespec:
		return c.args[w.Arg] == 0
	}
	return false
}

// settleShadow notes how far the shadow, stopped on a signal, is with its call.
func (o *origin) settleShadow(t *thread) {
	c := t.call
	if c == nil || !c.posted || c.done || c.byButler {
		return
	}
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) != nil {
		return
	}
	switch state, ret := guest.Shadow(&r); state {
	case guest.ShadowIdle:
		o.proc.Slots.Cancel(t.slot)
		c.posted = false
		if r.Rax == sysRestart && guest.AboutToCall(&r) && len(t.copied.out) == 0 {
			c.nr = sysRestart // the kernel was about to go on with what it had interrupted
		}
		if c.moved > 0 {
			c.done, c.ret = true, c.moved
		}
	case guest.ShadowCalling:
		if int64(ret) == -int64(sys.EFAULT) && futexPages(c.nr, c.args) != nil {
			c.posted = false // a page was away: made again after the handler
			return
		}
		c.done, c.ret, c.interrupted = true, c.total(ret), c.moved == 0 && restarting(&r)
		if int64(ret) == restartBlock && len(t.copied.out) > 0 {
			// The kernel would go on and write to the copy. A handler ends it in any case.
			c.ret = errno(-restartNoHand)
			return
		}
		c.nr = r.Orig_rax
	case guest.ShadowCalled:
		c.done, c.ret = true, c.total(ret)
	}
}

// returnedForSignal gives the thread's user state to its shadow, which stands
// stopped on a signal, and lets the kernel deliver it. A call that the signal
// interrupted looks to the kernel as if made by the user code itself, so that
// SA_RESTART and EINTR are decided as always.
func (o *origin) returnedForSignal(t *thread, ctx *guest.Context, reason uint32, nr uint64) {
	if o.stillCalling(t, ctx) {
		// The butler is at it, or what it wrote on its way: it ends soon, then the signal is delivered.
		t.ctx = ctx
		if t.where != homeIn {
			t.to(homeIn)
		}
		return
	}
	sig := t.signal.sig
	t.signal = nil
	t.ctx = nil
	if t.where != atHome {
		t.to(atHome)
	}
	t.landing = &landing{ctx: ctx, reason: reason, nr: nr}
	o.land(t, sig)
}

// inHandler goes on with a thread that stands at the first instruction of its
// signal handler, or where it was when the signal turned out to do nothing.
func (o *origin) inHandler(t *thread) {
	if len(t.onStop) > 0 {
		o.runOnStop(t)
		return
	}
	if t.nags() && t.errand {
		// The way out and home again takes longer than the next signal: it would get
		// nothing done (a timer of a millisecond, test/guests/sig_timers.c).
		t.errand = false
		o.lingerAtHome(t)
		o.resume(t, 0)
		return
	}
	o.goBack(t)
}

// bearable is how many signals, each soon after it has left, a thread comes home for and
// goes out again.
const bearable = 128

// nags notes that t handles a signal that took it home, and tells whether that was one
// too many. How long the way took, on a machine that is loaded say, does not count.
func (t *thread) nags() bool {
	if t.signalled-t.left > 2*visit {
		t.nagged = 0
	}
	t.nagged++
	return t.nagged > bearable
}

// caught tells whether a signal runs a handler of the program. One that is
// ignored, stops or kills needs no thread at home.
func (o *origin) caught(t *thread, sig sys.Signal) bool {
	return has(o.signalSets(t)["SigCgt"], sig)
}

// signalSets is empty when the thread is gone.
func (o *origin) signalSets(t *thread) map[string]uint64 {
	s, _ := signalSets(fmt.Sprintf("/proc/%d/task/%d/status", o.proc.PID, t.tid))
	return s
}

func has(set uint64, sig sys.Signal) bool { return set>>(uint(sig)-1)&1 != 0 }

// groupStopped handles a stop of the whole process (SIGSTOP and its kin): what
// runs elsewhere is frozen too, until SIGCONT.
func (o *origin) groupStopped(t *thread) {
	t.group = true
	if o.released(t, 0) {
		return
	}
	if err := sys.Listen(t.tid); err != nil {
		o.logf("leave thread %d stopped: %v", t.tid, err)
	}
	again, begins := o.stop.told(t)
	if again {
		sys.Interrupt(t.tid) // it stops anew, and says why it now would; ESRCH: it ends
	}
	if !begins {
		return
	}
	if !o.attached() {
		sys.Kill(o.cfg.RunPID, sys.SIGSTOP) // a shell that waits for it shall see
	}
	for n, st := range o.nodes {
		if st.joined {
			o.send(n, wire.Header{Type: wire.TFreeze})
		}
	}
}

// continued handles the end of a stop of the whole process.
func (o *origin) continued() {
	if !o.stop.over() {
		return
	}
	o.whenAlone()
	if !o.attached() {
		sys.Kill(o.cfg.RunPID, sys.SIGCONT)
	}
	for n, st := range o.nodes {
		if st.joined {
			o.send(n, wire.Header{Type: wire.TThaw})
		}
	}
}

// groupStop is whether the whole process is stopped, by what its threads tell of, one
// after the other and some of them late.
type groupStop struct {
	on   bool
	ends int // of stops that threads have told of
}

// told notes that t tells of a stop: it may have to be asked again, or this begins one.
// It may have stopped with others and tell only now, when they have told of the end
// already; a shell would see the program stop anew. What it tells twice without one of
// them telling of an end between is so.
func (s *groupStop) told(t *thread) (again, begins bool) {
	switch asked := s.ends + 1; {
	case s.on:
		return false, false
	case t.asked != asked:
		t.asked = asked
		return true, false
	}
	s.on = true
	return false, true
}

// over notes that a thread tells of the end of a stop, and tells whether one was on.
func (s *groupStop) over() (ended bool) {
	ended, s.on = s.on, false
	s.ends++
	return ended
}
