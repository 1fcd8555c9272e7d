package job

import (
	"errors"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/wire"
)

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
	returnRecalled    uint32 = iota + 1 // it was asked to
	returnCall                          // to make call Addr here itself
	returnPopcorn                       // it made one of Popcorn's own calls
	returnTouch                         // it touched what only home has
	returnFault                         // its own fault, to be repeated here
	returnTSC                           // it read the time stamp counter, which is home's
	returnTrap                          // it was trapped with code Addr after an instruction, which is not to be repeated
	returnInstruction                   // its node's processor lacks the instruction
)

var returnNames = map[uint32]string{returnRecalled: "recalled", returnPopcorn: "popcorn call",
	returnTouch: "touched memory that stays at home", returnFault: "fault", returnTSC: "read the time stamp counter",
	returnTrap: "trap", returnInstruction: "came to an instruction its node's processor lacks"}

// returned takes a thread back whose user state is ctx. inCall tells that its
// shadow is making a call for it, or was about to.
func (o *origin) returned(t *thread, ctx *guest.Context, reason uint32, nr uint64, inCall bool) {
	if reason == returnCall {
		count(o.stats.wentHome, syscalls.Lookup(int(nr)).Name, "other calls")
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
	case c.delivering:
		return true
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
	o.unload(t) // of a call that it makes anew, if at all
	if sig != 0 && l.reason == returnPopcorn {
		l.ctx.Again(l.nr) // after the handler
		l.reason = returnCall
	}
	if l.reason == returnPopcorn {
		o.popcornCall(t, int(l.nr), l.ctx, l.from) // it is given the state after the call
		return
	}
	if err := l.ctx.Load(t.tid); err != nil {
		if !errors.Is(err, sys.ESRCH) {
			o.fail(err)
		}
		return
	}
	if l.reason == returnTrap {
		o.raiseTrap(t, int(l.nr), l.ctx.Regs.Rip)
	}
	switch {
	case l.reason == returnRecalled && sig == 0 && t.place != coherence.Home:
		o.depart(t, t.place) // on its way from one remote to another
		return
	case t.place == coherence.Home:
		t.finishMove(nil)
	}
	if o.dumpFirst(t, sig) {
		return
	}
	t.errand = t.place != coherence.Home
	if t.errand && sig == 0 {
		switch l.reason {
		case returnTouch:
			t.errand = false // not stopped at its calls: they may be many
			o.lingerAtHome(t)
		case returnTSC, returnInstruction: // one call at most: a program does this to know when, not to stay
			o.lingerAtHome(t)
		}
	}
	o.resume(t, sig)
}

// lingerAtHome sends a thread out again that makes no system call after it
// touched something here.
func (o *origin) lingerAtHome(t *thread) {
	place := t.place
	o.loop.after(visit, func() {
		if t.where != atHome || t.place != place {
			return
		}
		o.interrupt(t, func() { o.goBack(t) })
	})
}

// visit is how long a thread stays home that touched what only home has, or that
// one signal after the other is for.
const visit = 10 * time.Millisecond

// goBack lets a stopped thread that was home on an errand go where it belongs.
func (o *origin) goBack(t *thread) {
	if t.where == atHome && t.place != coherence.Home && !t.exiting {
		o.depart(t, t.place)
		return
	}
	if t.where == atHome && t.place == coherence.Home { // it is where it belongs now
		t.errand, t.steps, t.since = false, 0, 0
		t.finishMove(nil)
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
	if n != coherence.Home {
		if err := o.mayMove(t); err != nil { // not even stopped: its filter may forbid restart_syscall(2)
			done(fmt.Errorf("%w: %w", control.ErrRefused, err))
			return
		}
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
