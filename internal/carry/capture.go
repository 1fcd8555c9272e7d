package carry

import (
	"errors"
	"fmt"
	"slices"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Capture completes a draft with what only the program itself can be asked: its
// stopped threads make calls for us, and stand afterwards as before. It leaves
// the agent mapped, for Proc.Aside; Tidy ends that.
func (d *Draft) Capture() error {
	lead := d.s.Threads[0].TID
	if err := d.s.Proc.PutAgent(lead); err != nil {
		return err
	}
	scratch, err := d.s.Proc.MapScratch(lead)
	if err != nil {
		return err
	}
	c := capturer{d, scratch, lead}
	err = c.process()
	for _, t := range d.s.Threads {
		if err == nil {
			err = c.thread(t)
		}
	}
	return errors.Join(err, d.s.Proc.DropScratch(lead))
}

// Tidy takes away what Capture has put into the program.
func (d *Draft) Tidy() error {
	if d.s.Distributed || !d.s.Proc.HasAgent() {
		return nil
	}
	return d.s.Proc.TakeAgentAway(d.s.Threads[0].TID)
}

type capturer struct {
	*Draft
	scratch guest.Scratch
	lead    int
}

// ask has thread tid make a call that writes n bytes to the scratch memory, and
// returns them. The call's arguments are made from the scratch's address.
func (c capturer) ask(tid, n int, nr uint64, args ...uint64) ([]byte, error) {
	if _, err := c.s.Proc.Call(tid, nr, args...); err != nil {
		return nil, err
	}
	return c.scratch.Get(n)
}

func (c capturer) process() error {
	p := &c.Image.Process
	brk, err := c.s.Proc.Call(c.lead, sys.SYS_BRK, 0)
	if err != nil {
		return err
	}
	p.Layout.Brk = brk
	if err := c.actions(); err != nil {
		return err
	}
	if err := c.timers(); err != nil {
		return err
	}
	for _, q := range []struct {
		option uint64
		f      func(uint64)
	}{{prGetDumpable, func(v uint64) { p.Dumpable = v }}} {
		v, err := c.s.Proc.Call(c.lead, sys.SYS_PRCTL, q.option)
		if err != nil {
			return err
		}
		q.f(v)
	}
	b, err := c.ask(c.lead, 4, sys.SYS_PRCTL, prGetSubreaper, c.scratch.Addr())
	if err != nil {
		return err
	}
	p.Subreaper = le.Uint32(b) != 0
	if p.Persona, err = c.s.Proc.Call(c.lead, sys.SYS_PERSONALITY, 0xffffffff); err != nil {
		return err
	}
	pending, err := sys.PeekSignals(c.lead, true)
	if err != nil {
		return fmt.Errorf("read pending signals: %w", err)
	}
	p.Pending = raw(pending)
	return nil
}

// Options of prctl(2).
const (
	prGetDumpable   = 3
	prSetDumpable   = 4
	prGetTimerSlack = 30
	prSetTimerSlack = 29
	prSetSubreaper  = 36
	prGetSubreaper  = 37
	prSetName       = 15
	prGetTIDAddress = 40
	prSetMM         = 35
	prSetMMMap      = 14
	prSetVMA        = 0x53564d41
)

func raw(infos []sys.SigInfo) (out [][]byte) {
	for _, i := range infos {
		out = append(out, append([]byte(nil), i[:]...))
	}
	return out
}

// Signals whose action cannot be set.
const (
	sigKill = int(sys.SIGKILL)
	sigStop = int(sys.SIGSTOP)
	signals = 64
	// actionSize is that of the kernel's struct sigaction: handler, flags,
	// restorer, mask.
	actionSize = 32
)

func (c capturer) actions() error {
	calls := make([]guest.Entry, 0, signals)
	for sig := 1; sig <= signals; sig++ {
		at := c.scratch.Addr() + uint64(actionSize*sig)
		calls = append(calls, guest.Entry{Nr: sys.SYS_RT_SIGACTION, Args: [6]uint64{uint64(sig), 0, at, 8}})
	}
	if _, err := c.s.Proc.Batch(c.lead, calls); err != nil {
		return fmt.Errorf("read signal actions: %w", err)
	}
	b, err := c.scratch.Get(actionSize * (signals + 1))
	if err != nil {
		return err
	}
	for sig := 1; sig <= signals; sig++ {
		a := b[actionSize*sig:]
		act := image.Action{Signal: sig, Handler: le.Uint64(a), Flags: le.Uint64(a[8:]), Restore: le.Uint64(a[16:]), Mask: le.Uint64(a[24:])}
		if act.Handler != 0 || act.Flags != 0 || act.Mask != 0 {
			c.Image.Process.Actions = append(c.Image.Process.Actions, act)
		}
	}
	return nil
}

const (
	sysTimerGettime    = 224
	sysTimerGetoverrun = 225
)

func (c capturer) timers() error {
	p := &c.Image.Process
	for which := range uint64(3) {
		b, err := c.ask(c.lead, 32, sys.SYS_GETITIMER, which, c.scratch.Addr())
		if err != nil {
			return err
		}
		micros := func(b []byte) uint64 { return le.Uint64(b)*1e6 + le.Uint64(b[8:]) }
		if value := micros(b[16:]); value != 0 {
			p.Itimers = append(p.Itimers, image.Itimer{Which: int(which), Interval: micros(b), Value: value})
		}
	}
	if err := c.lookTimers(); err != nil {
		return err
	}
	for i := range p.Timers {
		b, err := c.ask(c.lead, 32, sysTimerGettime, uint64(p.Timers[i].ID), c.scratch.Addr())
		if err != nil {
			return fmt.Errorf("read timer %d: %w", p.Timers[i].ID, err)
		}
		p.Timers[i].Spec = b
	}
	return nil
}

func (c capturer) thread(s Stopped) error {
	t := image.Thread{TID: s.TID, Comm: c.comm(s.TID), ClearTID: s.ClearTID, Partial: s.Partial}
	ctx, err := guest.Save(s.TID)
	if err != nil {
		return err
	}
	if s.Context != nil {
		ctx = s.Context.Clone()
	}
	if t.Mask, err = sys.GetSigMask(s.TID); err != nil {
		return fmt.Errorf("read signal mask of %d: %w", s.TID, err)
	}
	pending, err := sys.PeekSignals(s.TID, false)
	if err != nil {
		return fmt.Errorf("read pending signals of %d: %w", s.TID, err)
	}
	t.Pending = raw(pending)
	if t.Robust[0], t.Robust[1], err = sys.GetRobustList(s.TID); err != nil {
		return fmt.Errorf("read robust list of %d: %w", s.TID, err)
	}
	if r, err := sys.GetRseq(s.TID); err == nil {
		t.Rseq = image.Rseq{Ptr: r.Ptr, Size: r.Size, Signature: r.Signature}
	}
	if cpus, err := sys.Affinity(s.TID); err == nil {
		if ours, err := sys.Affinity(0); err == nil && !slices.Equal(cpus, ours) { // it chose
			t.CPUs = cpus
		}
	}
	if err := c.answers(&t); err != nil {
		return err
	}
	c.settle(ctx, &t, s)
	ctx.Each(func(i int, v *uint64) { t.Regs[i] = *v })
	t.XState = ctx.XState
	c.Image.Threads = append(c.Image.Threads, t)
	return nil
}

func (c capturer) comm(tid int) string {
	st, err := readStatus(c.path(fmt.Sprintf("task/%d/status", tid)))
	if err != nil {
		return ""
	}
	return st.text("Name")
}

// answers is what a thread tells about itself.
func (c capturer) answers(t *image.Thread) (err error) {
	if t.AltStack, err = c.ask(t.TID, 24, sys.SYS_SIGALTSTACK, 0, c.scratch.Addr()); err != nil {
		return err
	}
	b, err := c.ask(t.TID, 8, sys.SYS_PRCTL, prGetTIDAddress, c.scratch.Addr())
	if err == nil {
		t.ClearTID = le.Uint64(b)
	} else if !errors.Is(err, sys.EINVAL) { // a kernel without CONFIG_CHECKPOINT_RESTORE
		return err
	}
	t.TimerSlack, err = c.s.Proc.Call(t.TID, sys.SYS_PRCTL, prGetTimerSlack)
	return err
}

// settle makes registers ones that a new thread can go on with: a kernel there
// knows nothing of a restartable sequence or a wait that was under way.
func (c capturer) settle(ctx *guest.Context, t *image.Thread, s Stopped) {
	c.abortSequence(ctx, t)
	nr := int64(ctx.Regs.Orig_rax)
	const restartBlock = -516 // include/linux/errno.h
	if nr < 0 || int64(ctx.Regs.Rax) != restartBlock {
		return
	}
	if nr == sys.SYS_RESTART_SYSCALL && s.WaitAt == ctx.Regs.Rip {
		nr = int64(s.Wait)
	}
	if restWritten(uint64(nr), &ctx.Regs) || nr == sys.SYS_RESTART_SYSCALL {
		ctx.Result(^uint64(sys.EINTR) + 1)
		return
	}
	ctx.Again(uint64(nr))
}

// restWritten tells whether the interrupted sleep has left the time that remained
// where its caller looks after EINTR. Any other wait is begun anew.
func restWritten(nr uint64, r *sys.Regs) bool {
	return nr == sys.SYS_NANOSLEEP && r.Rsi != 0 || nr == sys.SYS_CLOCK_NANOSLEEP && r.R10 != 0
}

// abortSequence has a thread that stands in a restartable sequence go on where
// that is to be taken up after an interruption (rseq(2)).
func (c capturer) abortSequence(ctx *guest.Context, t *image.Thread) {
	if t.Rseq.Ptr == 0 {
		return
	}
	var area [16]byte // struct rseq: two CPU numbers, then the current sequence
	if c.s.Proc.Read(vm.Addr(t.Rseq.Ptr), area[:]) != nil {
		return
	}
	at := le.Uint64(area[8:])
	var cs [32]byte // struct rseq_cs: version, flags, start, length, abort address
	if at == 0 || c.s.Proc.Read(vm.Addr(at), cs[:]) != nil {
		return
	}
	start, length, abort := le.Uint64(cs[8:]), le.Uint64(cs[16:]), le.Uint64(cs[24:])
	if ctx.Regs.Rip-start < length {
		ctx.Regs.Rip = abort
	}
}
