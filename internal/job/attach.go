package job

import (
	"errors"
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
)

// A job that was found running is only traced at first: nothing is in it, it lives
// on should its supervisor die, and none of its calls is caught. When its first
// thread leaves it is bound to its supervisor like any other; letting it go undoes
// everything.

// attached tells whether the program was started by somebody else.
func (o *origin) attached() bool { return o.cfg.Spec.Attach != 0 }

// startAttached takes the running program under control.
func (o *origin) startAttached() (err error) {
	if err := Examine(o.cfg.Spec.Attach); err != nil { // again: it may be another by now
		return err
	}
	if o.catcher, err = guest.NewCatcher(); err != nil {
		return err
	}
	o.tracer.Abandon()
	if err := o.adopt(); err != nil {
		return err
	}
	if err := o.serve(); err != nil {
		return err
	}
	o.report(fromSupervisor{PID: o.proc.PID})
	return nil
}

// adopt traces every thread of the program, all of which run on.
func (o *origin) adopt() error {
	p, tids, err := guest.Adopt(o.tracer, o.cfg.Spec.Attach)
	if errors.Is(err, sys.EPERM) {
		err = fmt.Errorf("%w; its user, and root, may trace it; where kernel.yama.ptrace_scope is not 0, only root: %w", err, control.ErrRefused)
	}
	if err != nil {
		return err
	}
	o.proc = p
	for _, tid := range tids {
		t := o.newThread(tid, coherence.Home)
		t.born, t.unasked = true, true
	}
	return nil
}

// bind has the program end with its supervisor, which is about to hold memory of
// it. All threads are stopped.
func (o *origin) bind() (err error) {
	o.guest.Store(int32(o.proc.Pidfd))
	for _, t := range o.threads {
		if t.stopped {
			err = errors.Join(err, o.proc.Bind(t.tid, true))
		}
	}
	return err
}

// loosen undoes that for the threads ts, which are all there are.
func (o *origin) loosen(ts ...*thread) {
	for _, t := range ts {
		if err := o.proc.Bind(t.tid, false); err != nil {
			o.logf("%v", err)
		}
	}
	o.guest.Store(-1)
	o.report(fromSupervisor{Freed: true})
}

// undistribute takes what a failed distribution has left out of the program.
func (o *origin) undistribute() {
	var one *thread
	var all []*thread
	for _, t := range o.threads {
		all = append(all, t)
		if t.callable() {
			one = t
		}
	}
	if one != nil {
		o.proc.Retire()
		if err := o.proc.EndDistribution(one.tid); err != nil {
			o.logf("take back a failed distribution: %v", err)
		}
	}
	if o.uffd != nil {
		o.uffd.Close()
	}
	o.butler, o.holder, o.uffd, o.pager, o.mem = 0, 0, nil, nil, nil
	o.loosen(all...)
}

// detach brings everything home and lets the program go; done is told when it
// runs on alone, or why it does not.
func (o *origin) detach(done func(error)) {
	switch {
	case !o.attached():
		done(fmt.Errorf("let program %d go: popcorn run started it and waits for its end; popcorn migrate %[1]d home brings it home: %w",
			o.proc.PID, control.ErrRefused))
		return
	case o.ended:
		done(fmt.Errorf("the program has ended: %w", control.ErrNoSuchJob))
		return
	}
	o.detaching = append(o.detaching, done)
	if len(o.detaching) > 1 {
		return
	}
	o.logf("let the program go")
	for n := range o.nodes {
		o.drain(n)
	}
	o.whenAlone()
}

// whenAlone lets the program go once no node has anything of it any more.
func (o *origin) whenAlone() { o.loop.post(o.alone) }

func (o *origin) alone() {
	if len(o.detaching) == 0 || o.letting || o.ended {
		return
	}
	for _, st := range o.nodes {
		if st.failed == nil {
			return
		}
	}
	o.calm = true
	switch {
	case o.world != nil:
		o.loop.after(drainAgain, o.alone)
	case o.stop.on && o.distributed: // calls cannot be made in it before it goes on
	default:
		o.stopWorld(o.letGoNow)
	}
}

// letGoNow is run while all threads are stopped; those go on untraced.
func (o *origin) letGoNow() {
	if o.distributed {
		err := o.takeBack()
		if errors.Is(err, errNotNow) {
			o.loop.after(drainAgain, o.alone)
			return
		}
		if err != nil {
			o.detached(fmt.Errorf("let program %d go: %w", o.proc.PID, err))
			return
		}
	}
	o.letting = true
	o.loop.post(o.letRestGo)
}

var errNotNow = errors.New("a thread is in the middle of a call, or about to be given a signal")

// takeBack takes everything of ours out of the program, all of whose memory is home.
func (o *origin) takeBack() error {
	t, err := o.clearOfCalls()
	if err != nil {
		return err
	}
	o.pager.Settle()
	if err := errors.Join(o.pager.Err(), o.proc.Unregister(o.uffd), o.proc.RestoreMappings()); err != nil {
		return err
	}
	var all []*thread
	for _, t := range o.threads {
		all = append(all, t)
		t.slot, t.copied = 0, copied{}
		if t.rseq.Ptr != 0 && t.callable() {
			if err := o.proc.RestoreRseq(t.tid, t.rseq); err != nil {
				o.logf("restore restartable sequences of thread %d: %v", t.tid, err)
			}
		}
	}
	o.proc.Retire()
	o.forgetMemory()
	if err := o.proc.EndDistribution(t.tid); err != nil {
		return err
	}
	o.loosen(all...)
	return nil
}

// clearOfCalls makes sure that no thread stands in the middle of a call, and returns
// one that calls can be injected into. One at the entry of a call is let into it:
// a signal that comes now must find it there, or pause(2) would not see it.
func (o *origin) clearOfCalls() (one *thread, err error) {
	for _, t := range o.threads {
		switch {
		case t.where == homeIn && !o.takeCallBack(t):
			return nil, errNotNow
		case t.callable():
			one = t
		case !t.exiting:
			return nil, errNotNow
		}
	}
	if one == nil {
		return nil, errNotNow
	}
	return one, nil
}

// takeCallBack gives a thread that is home in a call its own state, in which it
// goes on with that call itself. Its shadow was stopped for nothing else.
func (o *origin) takeCallBack(t *thread) bool {
	c, ctx := t.call, t.ctx
	if c == nil || ctx == nil || c.byButler || c.delivering || !c.posted || !t.callable() || o.hasWritten(t) {
		return false
	}
	o.settleShadow(t)
	const eintr = -int64(sys.EINTR) // by our stop, not by a signal
	switch {
	case c.done && c.interrupted:
		ctx.Interrupted(c.nr, c.ret)
	case c.done && (int64(c.ret) != eintr || !syscalls.RestartsWithEINTR(int(c.nr))):
		ctx.Result(c.ret)
	case c.begun && int64(ctx.Regs.Rax) != eintr: // ctx is that of the interrupted call
	default:
		ctx.Again(c.nr)
	}
	if c.hold != 0 {
		o.release(c.hold)
	}
	if err := ctx.Load(t.tid); err != nil {
		o.logf("take back call of thread %d: %v", t.tid, err)
		return false
	}
	t.call, t.ctx = nil, nil
	t.to(atHome)
	return true
}

// released lets a thread go that was about to be resumed with sig, when all are to.
func (o *origin) released(t *thread, sig sys.Signal) bool {
	if !o.letting {
		return false
	}
	o.settleCut(t)
	if err := sys.Detach(t.tid, sig); err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("let go of thread %d: %v", t.tid, err)
	}
	t.stopped, t.where = false, gone
	delete(o.threads, t.tid)
	t.finishMove(errLetGo)
	return true
}

// letRestGo lets go of the threads that were not resumed at the end of the stop.
func (o *origin) letRestGo() {
	for _, t := range o.threads {
		switch {
		case !t.stopped:
		case t.group: // it must leave its listening state first
			sys.Interrupt(t.tid) // ESRCH: it ends
		default:
			o.released(t, 0)
		}
	}
}

var errLetGo = fmt.Errorf("the program was let go: %w", control.ErrNoSuchJob)

// checkLetGo ends the job when nothing of the program is traced any more.
func (o *origin) checkLetGo() {
	for _, t := range o.threads {
		if !t.exiting {
			return
		}
	}
	if len(o.children) > 0 || o.ended {
		return // its children are to be let go, too: they would die with us
	}
	o.logf("the program was let go")
	o.ended = true
	for _, f := range o.ending {
		f(0, errLetGo)
	}
	o.ending = nil
	if err := o.writeStats(); err != nil {
		o.failed = errors.Join(o.failed, err)
	}
	o.detached(nil)
	o.report(fromSupervisor{Detached: true})
	o.loop.stop()
}

// detached tells those who asked for it how letting go ended.
func (o *origin) detached(err error) {
	all := o.detaching
	if err != nil && len(all) > 0 {
		o.report(fromSupervisor{Notice: err.Error()})
	}
	o.detaching = nil
	for _, f := range all {
		f(err)
	}
}
