package carry

import (
	"errors"
	"fmt"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
)

const (
	sysUmask       = 95
	sysTimerCreate = 222
	sysTimerSet2   = 223 // timer_settime
	sysTimerDelete = 226
	timerRestore   = 77 // PR_TIMER_CREATE_RESTORE_IDS
)

// process gives the process what all threads share.
func (r *rebuilder) process() error {
	at, err := r.path(r.p.Dir)
	if err == nil {
		_, err = r.call(sys.SYS_CHDIR, at)
	}
	if err != nil {
		return fmt.Errorf("go to %s: %w", r.p.Dir, err)
	}
	calls := []guest.Entry{
		{Nr: sysUmask, Args: [6]uint64{uint64(r.p.Umask)}},
		{Nr: sys.SYS_PERSONALITY, Args: [6]uint64{r.p.Persona}},
		{Nr: sys.SYS_PRCTL, Args: [6]uint64{prSetDumpable, min(r.p.Dumpable, 1)}},
	}
	if r.p.Subreaper {
		calls = append(calls, guest.Entry{Nr: sys.SYS_PRCTL, Args: [6]uint64{prSetSubreaper, 1}})
	}
	if _, err := r.proc.Batch(r.proc.PID, calls); err != nil {
		return err
	}
	// Who may not lower it restores at the one that restore has.
	if err := sys.SetNice(r.proc.PID, r.p.Nice); err != nil && !errors.Is(err, sys.EACCES) && !errors.Is(err, sys.EPERM) {
		return fmt.Errorf("set nice value %d: %w", r.p.Nice, err)
	}
	if err := r.layout(); err != nil {
		return err
	}
	return r.actions()
}

// layout tells the kernel where heap, arguments and environment are, and which
// file the program is (prctl(2), PR_SET_MM_MAP). To name the file takes rights;
// without them /proc/PID/exe tells of our stub.
func (r *rebuilder) layout() error {
	exe, err := r.open(r.p.Exe.Path, sys.O_RDONLY|sys.O_CLOEXEC)
	if err != nil {
		return err
	}
	l := r.p.Layout
	var b []byte
	for _, v := range []uint64{l.StartCode, l.EndCode, l.StartData, l.EndData, l.StartBrk, l.Brk, l.StartStack, l.ArgStart, l.ArgEnd,
		l.EnvStart, l.EnvEnd, r.scratch.Addr() + mmMapSize} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, uint32(len(r.p.Auxv)))
	b = le.AppendUint32(b, uint32(exe))
	at, err := r.scratch.Put(append(b, r.p.Auxv...))
	if err != nil {
		return err
	}
	_, err = r.call(sys.SYS_PRCTL, prSetMM, prSetMMMap, at, mmMapSize, 0)
	if errors.Is(err, sys.EPERM) {
		le.PutUint32(b[mmMapSize-4:], 1<<32-1)
		if at, err = r.scratch.Put(append(b, r.p.Auxv...)); err == nil {
			_, err = r.call(sys.SYS_PRCTL, prSetMM, prSetMMMap, at, mmMapSize, 0)
		}
	}
	_, closed := r.call(sys.SYS_CLOSE, exe)
	return errors.Join(err, closed)
}

const mmMapSize = 104 // struct prctl_mm_map

// actions sets the signals' actions. The stub was started with default ones.
func (r *rebuilder) actions() error {
	var table []byte
	var calls []guest.Entry
	for _, a := range r.p.Actions {
		at := r.scratch.Addr() + uint64(len(table))
		for _, v := range []uint64{a.Handler, a.Flags, a.Restore, a.Mask} {
			table = le.AppendUint64(table, v)
		}
		calls = append(calls, guest.Entry{Nr: sys.SYS_RT_SIGACTION, Args: [6]uint64{uint64(a.Signal), at, 0, 8}})
	}
	if _, err := r.scratch.Put(table); err != nil {
		return err
	}
	if n, err := r.proc.Batch(r.proc.PID, calls); err != nil {
		return fmt.Errorf("action of signal %d: %w", r.p.Actions[n].Signal, err)
	}
	return nil
}

// threads makes the threads and gives each its state; timers last, so that none
// finds a thread that is not there yet.
func (r *rebuilder) threads() error {
	threads := r.Image.Threads
	for _, t := range threads[1:] {
		tid, err := r.proc.ThreadAs(t.TID)
		if err != nil {
			return err
		}
		r.out.TIDs = append(r.out.TIDs, tid)
	}
	for i := range threads {
		if err := r.dress(&threads[i], r.out.TIDs[i]); err != nil {
			return fmt.Errorf("thread %d: %w", threads[i].TID, err)
		}
	}
	if err := r.startTimers(); err != nil {
		return err
	}
	if err := r.queue(r.proc.PID, sys.SYS_RT_SIGQUEUEINFO, r.p.Pending, uint64(r.p.PID)); err != nil {
		return err
	}
	if err := r.proc.DropScratch(r.proc.PID); err != nil {
		return err
	}
	if err := r.proc.TakeAgentAway(r.proc.PID); err != nil {
		return err
	}
	for i := range threads {
		if err := resume(&threads[i], r.out.TIDs[i]); err != nil {
			return err
		}
	}
	return nil
}

// dress gives a thread, tid to us, what the kernel keeps for it.
func (r *rebuilder) dress(t *image.Thread, tid int) error {
	call := func(nr uint64, args ...uint64) error {
		_, err := r.proc.Call(tid, nr, args...)
		return err
	}
	at, err := r.path(t.Comm)
	if err == nil {
		err = call(sys.SYS_PRCTL, prSetName, at)
	}
	if err == nil && t.ClearTID != 0 {
		err = call(sys.SYS_SET_TID_ADDRESS, t.ClearTID)
	}
	if err == nil && t.Robust[0] != 0 {
		err = call(sys.SYS_SET_ROBUST_LIST, t.Robust[0], t.Robust[1])
	}
	if err == nil && t.Rseq.Ptr != 0 {
		if err = call(sys.SYS_RSEQ, t.Rseq.Ptr, uint64(t.Rseq.Size), 0, uint64(t.Rseq.Signature)); err != nil {
			err = fmt.Errorf("register restartable sequences: %w", err)
		}
	}
	if err == nil && t.TimerSlack != 0 {
		err = call(sys.SYS_PRCTL, prSetTimerSlack, t.TimerSlack)
	}
	const disabled = 2 // SS_DISABLE
	if err == nil && len(t.AltStack) == 24 && t.AltStack[8]&disabled == 0 {
		if at, err = r.scratch.Put(t.AltStack); err == nil {
			err = call(sys.SYS_SIGALTSTACK, at, 0)
		}
	}
	if err != nil {
		return err
	}
	if len(t.CPUs) > 0 {
		if err := sys.SetAffinity(tid, t.CPUs...); err != nil {
			return fmt.Errorf("bind it to processors %v: %w", t.CPUs, err)
		}
	}
	if r.world == asUser {
		if err := r.proc.DropCapabilities(tid, r.scratch); err != nil {
			return err
		}
	}
	return r.queue(tid, sys.SYS_RT_TGSIGQUEUEINFO, t.Pending, uint64(r.p.PID), uint64(t.TID))
}

// queue makes signals pending again, sent by the thread itself, which may claim
// any sender (kernel/signal.c, do_rt_sigqueueinfo).
func (r *rebuilder) queue(tid int, nr uint64, pending [][]byte, to ...uint64) error {
	for _, info := range pending {
		if len(info) != len(sys.SigInfo{}) {
			return fmt.Errorf("pending signal of %d bytes: %w", len(info), image.ErrDamaged)
		}
		at, err := r.scratch.Put(info)
		if err != nil {
			return err
		}
		sig := uint64(le.Uint32(info))
		if _, err := r.proc.Call(tid, nr, append(append([]uint64(nil), to...), sig, at)...); err != nil {
			return fmt.Errorf("make signal %d pending: %w", sig, err)
		}
	}
	return nil
}

// resume gives a thread its registers and signal mask.
func resume(t *image.Thread, tid int) error {
	ctx := &guest.Context{XState: t.XState}
	ctx.Each(func(i int, v *uint64) { *v = t.Regs[i] })
	if err := ctx.Load(tid); err != nil {
		return err
	}
	if err := sys.SetSigMask(tid, t.Mask); err != nil {
		return fmt.Errorf("set signal mask of %d: %w", t.TID, err)
	}
	return nil
}

func (r *rebuilder) startTimers() error {
	for _, t := range r.p.Itimers {
		var b []byte
		for _, v := range []uint64{t.Interval, t.Value} {
			b = le.AppendUint64(b, v/1e6)
			b = le.AppendUint64(b, v%1e6)
		}
		at, err := r.scratch.Put(b)
		if err == nil {
			_, err = r.call(sysSetitimer, uint64(t.Which), at, 0)
		}
		if err != nil {
			return fmt.Errorf("timer %d of setitimer: %w", t.Which, err)
		}
	}
	if len(r.p.Timers) == 0 {
		return nil
	}
	// From 6.16 on the kernel takes the ids that it is given; before, it counts up.
	_, chosen := r.call(sys.SYS_PRCTL, timerRestore, 1, 0, 0, 0)
	for _, t := range r.p.Timers {
		if err := r.startTimer(t); err != nil {
			return fmt.Errorf("timer %d: %w", t.ID, err)
		}
	}
	if chosen == nil {
		_, err := r.call(sys.SYS_PRCTL, timerRestore, 0, 0, 0, 0)
		return err
	}
	return nil
}

const sysSetitimer = sys.SYS_SETITIMER

// mostTimers is how many ids are tried to get at a timer's.
const mostTimers = 4096

func (r *rebuilder) startTimer(t image.Timer) error {
	const idAt, specAt = 64, 72
	b := append(append([]byte(nil), t.Event...), make([]byte, 8)...)
	le.PutUint32(b[idAt:], uint32(t.ID))
	for range mostTimers {
		at, err := r.scratch.Put(append(b, t.Spec...))
		if err != nil {
			return err
		}
		if _, err := r.call(sysTimerCreate, uint64(t.Clock), at, at+idAt); err != nil {
			return err
		}
		got, err := r.scratch.Get(specAt)
		if err != nil {
			return err
		}
		if id := int(int32(le.Uint32(got[idAt:]))); id == t.ID {
			_, err := r.call(sysTimerSet2, uint64(id), 0, at+specAt, 0)
			return err
		} else if _, err := r.call(sysTimerDelete, uint64(id)); err != nil || id > t.ID {
			return errors.Join(err, fmt.Errorf("the kernel gave it the id %d", id))
		}
	}
	return fmt.Errorf("its id does not come within %d", mostTimers)
}

// limits sets the resource limits; last, for what is done here may need more.
func (r *rebuilder) limits() error {
	for _, l := range r.p.Limits {
		now, err := sys.GetLimit(r.proc.PID, l.Resource)
		if err != nil {
			return err
		}
		want := sys.Limit{Soft: l.Soft, Max: l.Max}
		if now == want {
			continue
		}
		if err := sys.SetLimit(r.proc.PID, l.Resource, want); err != nil {
			want.Max = min(want.Max, now.Max) // who may not raise it keeps what there is
			want.Soft = min(want.Soft, want.Max)
			if err := sys.SetLimit(r.proc.PID, l.Resource, want); err != nil {
				return fmt.Errorf("limit %d: %w", l.Resource, err)
			}
		}
	}
	return nil
}
