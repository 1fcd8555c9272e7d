package job

import (
	"errors"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// origin is the supervisor at the node where the job was started: it holds the
// real process, the directory, and knows where every thread is.
type origin struct {
	*supervisor
	abi      syscalls.ABI
	proc     *guest.Process
	butler   int // thread that makes address-space calls, 0 none
	holder   int // thread that keeps descriptors, 0 none
	threads  map[int]*thread
	early    map[int]sys.WaitStatus   // stops of threads not announced yet
	children map[int]bool             // processes to be let go at their first stop
	fosters  map[int]coherence.NodeID // those of them that become jobs, with their nodes
	mem      *pager.Home
	uffd     *sys.UFFD
	vdso     vm.Range // of the program
	cpu      guest.CPU
	// itsClocks: this process reads the program's clocks when it reads its own.
	itsClocks bool
	listener  int
	nodes     map[coherence.NodeID]*nodeState
	// served is calls for other nodes' threads that have waited for a page, lately.
	served map[*thread]served
	// distributed: this program's memory is under our hand.
	distributed bool
	filters     int   // that the program was started under, ours among them
	starting    bool  // distribution is under way
	cannot      error // why it cannot be distributed, once tried
	waiting     []func(error)
	world       *worldStop
	nextWorlds  []func(done func())
	saving      *saving // a checkpoint under way
	unsaved     bool    // the job was not saved the last time it was to be, and a person told
	nextSpread  int
	stop        groupStop
	ended       bool
	stats       *stats
	started     time.Time
	server      *control.Server
	ending      []func(code int, err error)
	code        int
	butlerEnds  bool
	core        coreDump
	// Of a program that was attached to:
	catcher   *guest.Catcher
	detaching []func(error) // who waits for it to be let go
	calm      bool          // nobody else has anything of it any more
	letting   bool          // threads are let go instead of resumed
}

// nodeState is what the origin knows of a remote.
type nodeState struct {
	joined  bool
	joining []func(error)
	briefed bool // it was told of the mappings, when it joined or since
	failed  error
	pid     int // of the stub
	// draining: everything is on its way from there.
	draining bool
	// foreign: its kernel maps other code or other clocks into programs.
	foreign bool
	// xcr0 is the components of extended state that its processor has.
	xcr0 uint64
	// told is mappings it has been told of and that have lost nothing since: it
	// asks about what it lacks, so this only saves words.
	told vm.Set
}

func newOrigin(s *supervisor) *origin {
	o := &origin{supervisor: s, threads: map[int]*thread{}, early: map[int]sys.WaitStatus{},
		children: map[int]bool{}, fosters: map[int]coherence.NodeID{}, listener: -1, nodes: map[coherence.NodeID]*nodeState{}, started: time.Now(),
		stats: newStats()}
	for n := range s.peers {
		o.nodes[n] = &nodeState{}
	}
	return o
}

func (o *origin) start() (err error) {
	spec := &o.cfg.Spec
	if o.abi, err = syscalls.ParseABI(spec.ABI); err != nil {
		return err
	}
	if spec.Image != "" {
		return o.restore()
	}
	if spec.Foster != nil {
		return o.startFoster()
	}
	if o.attached() {
		return o.startAttached()
	}
	o.proc, err = guest.Start(o.tracer, sys.SpawnAttr{Argv: spec.Argv, Env: o.baseline().Environment(spec.Env), Dir: spec.Dir,
		Files: o.cfg.Files, Pgid: o.cfg.Pgid, Pdeathsig: sys.SIGKILL,
		Held: sys.AllSignals}) // it is in a terminal's reach before it is the program
	if err != nil {
		return err
	}
	o.guest.Store(int32(o.proc.Pidfd))
	o.report(fromSupervisor{Keep: true}, o.proc.Pidfd)
	if err := o.letGoOfFiles(); err != nil {
		return err
	}
	if err := o.proc.ConfineAtRest(o.abi.Numbers()); err != nil {
		if spec.Nodes > 1 {
			return err
		}
		o.logf("popcorn calls are not available: %v", err) // there is nowhere to go anyway
	}
	if err := o.proc.Ignore(o.cfg.Ignored); err != nil {
		return err
	}
	if err := o.proc.Exec(spec.Path); err != nil {
		var errno sys.Errno
		if errors.Is(err, guest.ErrExec) && errors.As(err, &errno) {
			o.report(fromSupervisor{Errno: int(errno), Error: fmt.Sprintf("%s: %v", spec.Path, errno)})
			o.loop.stop()
			return nil
		}
		return err
	}
	if err := o.serve(); err != nil {
		return err
	}
	o.report(fromSupervisor{PID: o.proc.PID})
	o.saveRegularly()
	t := o.newThread(o.proc.PID, coherence.NodeID(max(spec.On, 0)))
	t.stopped, t.born, t.execing = true, true, true
	o.afterExec(t)
	return nil
}

// letGoOfFiles gives up the program's descriptors: the supervisor must never
// share an open file description with a guest, whose write(2) holds its lock
// while it waits for a page that only the supervisor can serve.
func (o *origin) letGoOfFiles() error {
	null, err := sys.Open("/dev/null", sys.O_RDWR|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	defer sys.Close(null)
	for i, fd := range o.cfg.Files {
		if fd < 0 {
			continue
		}
		if i <= 2 {
			err = errors.Join(err, sys.Dup2(null, i))
		} else {
			sys.Close(fd)
		}
	}
	return err
}

// newThread notes a thread that has appeared at home.
func (o *origin) newThread(tid int, place coherence.NodeID) *thread {
	t := &thread{tid: tid, place: place, proposed: -1}
	o.threads[tid] = t
	o.stats.threads++
	o.stats.peak(coherence.Home, o.count(coherence.Home))
	return t
}

func (o *origin) count(n coherence.NodeID) int {
	c := 0
	for _, t := range o.threads {
		if t.node == n {
			c++
		}
	}
	return c
}

// resume lets a stopped thread run on, delivering sig. A thread on an errand is
// stopped again at the end of its next system call.
func (o *origin) resume(t *thread, sig sys.Signal) {
	if !t.stopped {
		return
	}
	t.bears = sig
	if sig != 0 {
		o.settleCut(t) // a handler may make calls of its own
	}
	if o.putOff(t, func() { o.resume(t, sig) }) || o.released(t, sig) {
		return
	}
	t.stopped, t.group, t.bears = false, false, 0
	if len(t.onStop) > 0 {
		// Every stop takes a pending interrupt with it (ptrace_stop, kernel/signal.c).
		sys.Interrupt(t.tid)
	}
	var err error
	switch {
	case t.stepsOut():
		t.single = true
		err = sys.SingleStep(t.tid, sig)
	case t.errand && sig != 0 && o.caught(t, sig):
		// The stop comes at the handler's first instruction, before it is executed:
		// a step beyond it would be dangerous, see mayStep.
		t.single = true
		err = sys.SingleStep(t.tid, sig)
	case t.errand || t.forkHold != 0 || t.execing || t.cut != nil || o.catches(t) ||
		t.telefork != nil && t.telefork.byCall:
		err = sys.SyscallStep(t.tid, sig)
	default:
		err = sys.Cont(t.tid, sig)
	}
	if err != nil && !errors.Is(err, sys.ESRCH) {
		o.fail(fmt.Errorf("resume thread %d: %w", t.tid, err))
	}
}

// interrupt calls f when t, running at home or a shadow, has stopped for it.
func (o *origin) interrupt(t *thread, f func()) {
	if w := o.world; w != nil && w.all && o.putOff(t, func() { o.interrupt(t, f) }) {
		return
	}
	if t.stopped && !t.group && !t.inside && !t.busy() {
		f()
		return
	}
	t.onStop = append(t.onStop, f)
	if !t.stopped {
		if err := sys.Interrupt(t.tid); err != nil && !errors.Is(err, sys.ESRCH) {
			o.fail(fmt.Errorf("interrupt thread %d: %w", t.tid, err))
		}
	}
}

// traced implements role.
func (o *origin) traced(e guest.Event) {
	t := o.threads[e.TID]
	switch {
	case t == nil:
		o.stranger(e)
	case !e.Status.Stopped():
		o.threadGone(t, e)
	default:
		t.stopped = true
		o.threadStopped(t, e.Status)
	}
}

// stranger handles an event of something that is no known thread: a new thread
// or child before its parent's event, the butler, or a child let go.
func (o *origin) stranger(e guest.Event) {
	switch {
	case e.TID == o.butler, e.TID == o.holder:
		o.servantEvent(e)
	case !e.Status.Stopped():
		delete(o.early, e.TID)
		delete(o.children, e.TID)
		delete(o.fosters, e.TID)
		if e.TID == o.proc.PID {
			o.programEnded(e)
		}
	case o.children[e.TID]:
		o.letGo(e.TID)
	case sys.StopEvent(e.Status) == sys.EVENT_EXIT:
		// Killed before its parent's event: nobody will ask for it any more.
		delete(o.early, e.TID)
		sys.Cont(e.TID, 0)
	default:
		o.early[e.TID] = e.Status
	}
}

func (o *origin) servantEvent(e guest.Event) {
	if e.TID == o.butler && (!e.Status.Stopped() || sys.StopEvent(e.Status) == sys.EVENT_EXIT) {
		o.proc.ButlerEnds()
	}
	if !e.Status.Stopped() {
		return
	}
	if sys.StopEvent(e.Status) == 0 { // a signal, all of which it blocks
		sys.Cont(e.TID, e.Status.StopSignal())
		return
	}
	sys.Cont(e.TID, 0)
}

// letGo stops tracing a child process: it runs on by itself, under the filters
// it inherited, whose notifications are answered for as long as it lives.
func (o *origin) letGo(pid int) {
	delete(o.children, pid)
	if _, away := o.fosters[pid]; away {
		o.foster(pid)
		return
	}
	if o.cfg.Spec.Follow && o.followable(pid) {
		defer o.letFollow(pid)
	}
	if err := sys.Detach(pid, 0); err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("let go of child %d: %v", pid, err)
	}
}

func (o *origin) threadStopped(t *thread, status sys.WaitStatus) {
	event := sys.StopEvent(status)
	t.inside = event != 0 && event != sys.EVENT_STOP
	if event != sys.EVENT_STOP {
		t.group = false
	}
	switch event {
	case sys.EVENT_CLONE:
		o.cloned(t)
	case sys.EVENT_FORK, sys.EVENT_VFORK:
		o.forked(t, status)
	case sys.EVENT_EXEC:
		o.execed(t)
	case sys.EVENT_EXIT:
		o.exiting(t)
	case sys.EVENT_SECCOMP:
		o.trapped(t)
	case sys.EVENT_STOP:
		o.noteWait(t)
		o.interrupted(t, status)
	default:
		if status.StopSignal() == sys.SIGTRAP|0x80 {
			o.stepped(t)
			return
		}
		if status.StopSignal() == sys.SIGTRAP && o.knock(t) {
			return
		}
		o.settleKnock(t)
		o.noteWait(t)
		o.signalled(t, status.StopSignal())
	}
}

// noteWait remembers which call a thread was interrupted in that the kernel goes on
// with by another number, restart_syscall: only the kernel of here knows by then.
func (o *origin) noteWait(t *thread) {
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) == nil && int64(r.Rax) == restartBlock && r.Orig_rax != sysRestart {
		t.wait, t.waitAt = r.Orig_rax, r.Rip
	}
}

// interrupted handles a stop that we asked for, or one of the whole process.
func (o *origin) interrupted(t *thread, status sys.WaitStatus) {
	if sys.IsGroupStop(status) {
		o.groupStopped(t)
		return
	}
	t.asked = 0
	if t.group {
		t.group = false
		o.continued()
	}
	o.settleKnock(t)
	if t.landing != nil {
		o.land(t, 0)
		return
	}
	if !t.born {
		t.born = true
		o.bear(t)
		return
	}
	if len(t.onStop) == 0 {
		if o.world != nil {
			if !o.mendInterrupted(t) {
				o.mendShort(t)
			}
		}
		o.resume(t, 0)
		return
	}
	o.runOnStop(t)
}

// runOnStop runs what waited for t to be stopped; each resumes t or keeps it.
func (o *origin) runOnStop(t *thread) {
	todo := t.onStop
	t.onStop = nil
	for i, f := range todo {
		if !t.stopped {
			// The one before has resumed it: the others need a stop of their own.
			for _, rest := range todo[i:] {
				o.interrupt(t, rest)
			}
			return
		}
		f()
	}
}

func (o *origin) threadGone(t *thread, e guest.Event) {
	t.where = gone
	t.finishMove(control.ErrNoSuchThread)
	for _, id := range []*uint64{&t.exitHold, &t.forkHold} {
		if *id != 0 {
			o.release(*id)
		}
		*id = 0
	}
	o.unload(t)
	if t.slot > 0 && o.proc.Slots != nil {
		o.proc.Slots.Free(t.slot)
		t.slot = 0
	}
	t.onStop = nil
	delete(o.threads, t.tid)
	delete(o.served, t)
	if t.tid == o.proc.PID {
		o.programEnded(e)
		return
	}
	o.lastThread()
}

// lastThread ends the butler when no thread of the program is left: it would
// keep the process alive for ever.
func (o *origin) lastThread() {
	if !o.distributed || o.butlerEnds {
		return
	}
	for _, t := range o.threads {
		if t.tid != o.proc.PID || !t.exiting {
			return
		}
	}
	o.proc.EndServants()
	o.butlerEnds = true
}

// programEnded reports the true status and ends the job.
func (o *origin) programEnded(e guest.Event) {
	if o.ended {
		return
	}
	o.ended = true
	o.saving.programEnded()
	o.code = e.Status.ExitStatus()
	if e.Status.Signaled() {
		o.code = 128 + int(e.Status.Signal())
	}
	o.stats.home = e.Usage
	o.logf("program ended: %d", o.code)
	o.finishStats()
}

// finishJob is the end, once the statistics are complete.
func (o *origin) finishJob() {
	if o.saving.delays(o.finishJob) {
		return
	}
	o.awaitChildren()
	for _, f := range o.ending {
		f(o.code, nil)
	}
	o.ending = nil
	o.detached(fmt.Errorf("the program has ended: %w", control.ErrNoSuchJob))
	if err := o.writeStats(); err != nil {
		o.failed = errors.Join(o.failed, err)
	}
	o.report(fromSupervisor{Ended: true, Code: o.code})
	o.loop.stop()
}

// finish implements role.
func (o *origin) finish() (err error) {
	for n := range o.peers {
		o.send(n, wire.Header{Type: wire.TBye})
	}
	o.continued() // nothing stays stopped with a program that is over
	o.saving.abandon()
	if o.server != nil {
		o.server.Close()
	}
	if o.proc != nil && !o.ended && (!o.attached() || o.distributed) {
		err = o.proc.End(reapPatience)
	}
	err = errors.Join(err, o.leaveChildren())
	o.closeAll()
	return err
}

// reapPatience is how long a killed guest may take to be gone.
const reapPatience = 2 * time.Second

// settle implements role.
func (o *origin) settle() {
	if o.world != nil {
		o.world.check()
	}
	if o.letting {
		o.checkLetGo()
	}
}
