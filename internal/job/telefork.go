package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
)

// Telefork is fork(2), made at the origin by the kernel itself, so that all it
// promises is kept; but the child then becomes a job of its own whose thread is at
// another node. The child waits (guest.Park) until a new process of ours, "popcorn
// foster", has attached to it. Its parent does not wait for that.

// telefork is what a thread has asked for.
type telefork struct {
	node coherence.NodeID
	// byCall: the popcorn call itself is made a fork. Else the next fork is meant.
	byCall bool
}

// Foster is a child of a job that is to become a job itself, at a node.
type Foster struct {
	PID  int `json:"pid"`
	Node int `json:"node"`
	// Parked is what it waits with; nil for one that runs, of which then is known:
	Parked  *guest.Parked `json:"parked,omitempty"`
	Started string        `json:"started,omitempty"` // when, as proc_pid_stat(5) says
	Filters string        `json:"filters,omitempty"` // how many, of its parent's
}

// forksAway makes the telefork that t stands at the beginning of a fork; false when
// it is none, or must fail.
func (o *origin) forksAway(t *thread, nr int, r *sys.Regs) bool {
	call, _ := o.abi.Popcorn(nr)
	if call != syscalls.Telefork || r.Rsi != 0 || o.teleforkErrno(t, int(int32(r.Rdi))) != 0 {
		return false
	}
	at, err := sys.GetSyscallStop(t.tid)
	if err != nil {
		return false
	}
	fork, enosys := *r, -int64(sys.ENOSYS) // what a call has there
	fork.Orig_rax, fork.Rax = sys.SYS_FORK, uint64(enosys)
	if err := sys.SetRegs(t.tid, &fork); err != nil {
		return false
	}
	t.telefork = &telefork{coherence.NodeID(r.Rdi), true}
	if at.Entry && o.catches(t) { // no filter: the call is caught here and now
		c := &tracedCall{o, t, sys.SYS_FORK}
		t.caught = c
		o.beforeCall(t, sys.SYS_FORK, [6]uint64{}, c)
		return true
	}
	o.resume(t, 0) // through the filter once more
	return true
}

// teleforkErrno is why t can have no child at node nid, 0 for nothing.
func (o *origin) teleforkErrno(t *thread, nid int) sys.Errno {
	st := o.nodes[coherence.NodeID(nid)]
	switch {
	case nid < 0 || nid >= maxNodes:
		return sys.EINVAL
	case nid != 0 && (st == nil || st.failed != nil || st.draining):
		return sys.EAGAIN
	case o.sandboxed(t):
		return sys.EPERM
	}
	return 0
}

// teleforkCall answers the calls that are not made a fork: those that fail, and those
// that say where the child of t's next fork is to be.
func (o *origin) teleforkCall(t *thread, nid int, next uint64) int64 {
	const meant, notMeant = 1, 2 // the next fork
	if next == notMeant {
		t.telefork = nil
		return 0
	}
	if e := o.teleforkErrno(t, nid); e != 0 {
		return -int64(e)
	}
	if next != meant {
		return -int64(sys.EINVAL)
	}
	t.telefork = &telefork{node: coherence.NodeID(nid)}
	return 0
}

// teleforkMade is called at the end of a fork that a popcorn call was made. One that
// a signal has kept from beginning must be made a fork anew: the kernel would go on
// with the number it knows, and the child be an ordinary one.
func (o *origin) teleforkMade(t *thread, r *sys.Regs) {
	if t.telefork == nil || !t.telefork.byCall {
		return
	}
	if !restarting(r) {
		t.telefork = nil
		return
	}
	if len(t.onStop) > 0 || r.Orig_rax != sys.SYS_FORK { // it is about to be made again by us
		return
	}
	guest.CallAgain(r, syscalls.Telefork)
	if sys.SetRegs(t.tid, r) == nil {
		t.telefork = nil
	}
}

// forkedAway notes that child, which t has made, is to become a job.
func (o *origin) forkedAway(t *thread, child int) {
	if t.telefork == nil {
		return
	}
	o.fosters[child] = t.telefork.node
	t.telefork = nil
}

// foster has a child in its first stop wait for its new supervisor, and run start
// that. What goes wrong leaves the child an ordinary one.
func (o *origin) foster(pid int) {
	node := o.fosters[pid]
	delete(o.fosters, pid)
	parked, err := guest.Park(pid)
	if err != nil {
		o.logf("child %d stays home: %v", pid, err)
	}
	if err2 := sys.Detach(pid, 0); err != nil || err2 != nil {
		return // it is dying
	}
	o.report(fromSupervisor{Foster: &Foster{PID: pid, Node: int(node), Parked: &parked}})
}

// awaitChildren lets the children go that have not come to their first stop yet;
// they would end with us.
func (o *origin) awaitChildren() {
	for pid := range o.children {
		if _, err := o.tracer.WaitStop(pid); err == nil {
			o.letGo(pid)
		}
	}
}

// startFoster takes over the child of another job and sends it to its node.
func (o *origin) startFoster() (err error) {
	f := o.cfg.Spec.Foster
	if o.catcher, err = guest.NewCatcher(); err != nil {
		return err
	}
	o.tracer.Abandon()
	if f.Parked == nil {
		return o.startFollowed(f)
	}
	if o.proc, err = guest.AdoptParked(o.tracer, f.PID, *f.Parked); err != nil {
		return fmt.Errorf("take over process %d: %w", f.PID, err)
	}
	t := o.newThread(f.PID, coherence.NodeID(f.Node))
	t.born, t.unasked, t.stopped = true, true, true
	if err := o.serve(); err != nil {
		return err
	}
	o.report(fromSupervisor{PID: f.PID})
	if t.place != coherence.Home {
		t.moved = append(t.moved, func(err error) {
			if err != nil {
				o.report(fromSupervisor{Notice: staysHome(f, err)})
			}
		})
	}
	o.depart(t, t.place)
	return nil
}

func staysHome(f *Foster, err error) string {
	return fmt.Sprintf("process %d, which was to be at node %d, stays at home: %v", f.PID, f.Node, err)
}

// adoptOut starts the command that makes a child of this job one of its own. It is
// independent of this process, as the child is of its parent.
func (l *launcher) adoptOut(f *Foster) {
	if err := l.spawnFoster(f); err != nil {
		notice(staysHome(f, err))
		if err := f.release(); err != nil {
			notice(err.Error())
		}
	}
}

func (l *launcher) spawnFoster(f *Foster) error {
	s := l.spec
	s.Attach, s.Foster = f.PID, f
	if f.Parked != nil {
		s.On = -1
	} else {
		s.Argv, s.Name = CommandOf(f.PID), ""
	}
	s.Image, s.StatsFile, s.Path, s.Env, s.IdlePoll, s.Dir, s.Baseline = "", "", "", nil, false, "/", ""
	s.Checkpoint, s.CheckpointEvery, s.RestoreOnLoss, s.PutBack = "", 0, false, "" // its parent's file is not its own
	if s.Family == "" {
		s.Family = l.job[:8]
	}
	file, err := configFile(s)
	if err != nil {
		return err
	}
	defer sys.Close(file)
	null, err := sys.Open("/dev/null", sys.O_RDWR|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	defer sys.Close(null)
	pid, err := sys.Spawn("/proc/self/exe", sys.SpawnAttr{Argv: []string{"popcorn", "foster"}, Env: supervisorEnv(),
		Dir: "/", Files: []int{null, null, 2, file}, Session: true})
	if err != nil {
		return fmt.Errorf("start popcorn foster: %w", err)
	}
	go sys.Wait(pid, 0) // ends with it, or with us: nobody needs to know
	return nil
}

// release has the child go on as an ordinary one.
func (f *Foster) release() error {
	if f.Parked == nil {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f.Parked.Release(f.PID)
}

// fosterFile is the descriptor that popcorn foster reads what it is to do from.
const fosterFile = 3

// ReadFoster is the Spec that popcorn foster was started with.
func ReadFoster() (s Spec, err error) {
	file := os.NewFile(fosterFile, "config")
	defer file.Close()
	b, err := io.ReadAll(file)
	if err != nil {
		return s, fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("decode configuration: %w", err)
	}
	if s.Foster == nil {
		return s, errors.New("popcorn foster is internal: a program calls popcorn_telefork")
	}
	return s, nil
}

// RunFoster is the body of popcorn foster: Attach to a child that waits, which goes
// on as an ordinary one when that fails. reach finds the other hosts.
func RunFoster(ctx context.Context, s Spec, reach func() (Deputies, error)) error {
	deputies, err := reach()
	if err == nil {
		_, err = Attach(ctx, s, deputies, func(string) {})
	}
	if err == nil {
		return nil
	}
	if s.Foster.Parked == nil && s.Foster.ended() != nil {
		return nil
	}
	if s.Foster.release() == nil {
		return errors.New(staysHome(s.Foster, err))
	}
	return fmt.Errorf("process %d, teleforked to node %d: %w", s.Foster.PID, s.Foster.Node, err)
}
