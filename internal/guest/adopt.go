package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// looseOptions are for a program that was started by somebody else, while nothing
// of it is under our hand but the trace: should its tracer die, it lives on.
const looseOptions = traceOptions &^ sys.O_EXITKILL

// Adopt seizes every thread of a running process, none of which is stopped for it.
// A thread that one of them makes meanwhile is not among tids; its maker's clone
// event tells of it.
func Adopt(t *Tracer, pid int) (p *Process, tids []int, err error) {
	p = &Process{PID: pid, tracer: t, mem: -1, maps: -1, pmap: -1, Pidfd: -1}
	if p.Pidfd, err = sys.PidfdOpen(pid, 0); err != nil {
		return nil, nil, fmt.Errorf("open pidfd of %d: %w", pid, err)
	}
	tids, err = seizeAll(pid)
	t.Kick()
	if err != nil {
		return nil, nil, err
	}
	return p, tids, p.Reopen()
}

// seizeAll looks until two looks in a row have found nobody new: a thread that is
// not seized yet may make another while we look (proc(5) promises no snapshot).
func seizeAll(pid int) (tids []int, err error) {
	seen := map[int]bool{}
	for quiet := 0; quiet < 2; quiet++ {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return tids, fmt.Errorf("list threads of process %d: %w", pid, err)
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || seen[tid] {
				continue
			}
			seen[tid], quiet = true, -1
			mine, err := seizeOne(pid, tid)
			if err != nil {
				return tids, err
			}
			if mine {
				tids = append(tids, tid)
			}
		}
	}
	return tids, nil
}

// seizeOne is false for a thread that is ending, or is ours since its birth.
func seizeOne(pid, tid int) (bool, error) {
	err := sys.Seize(tid, looseOptions)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, sys.ESRCH), tracedBy(pid, tid) == sys.Getpid():
		return false, nil
	case errors.Is(err, sys.EPERM) && tid != pid && dying(pid, tid):
		return false, nil
	}
	return false, fmt.Errorf("trace thread %d of process %d: %w", tid, pid, err)
}

// Bind has the program end with its tracer, which from now on holds what it
// cannot live without; with on false it lives on. The thread tid must be stopped.
func (p *Process) Bind(tid int, on bool) error {
	options := traceOptions
	if !on {
		options = looseOptions
	}
	if err := sys.SetOptions(tid, options); err != nil && !errors.Is(err, sys.ESRCH) {
		return fmt.Errorf("set trace options of thread %d: %w", tid, err)
	}
	return nil
}

// Retire has the butler and the holder end, and waits for it.
func (p *Process) Retire() {
	if p.Butler == 0 {
		return
	}
	p.EndServants()
	p.awaitEnd(p.Butler)
	p.awaitEnd(p.Holder)
	p.butlerGone = true
}

// awaitEnd lets a thread that is ending go on through its stops.
func (p *Process) awaitEnd(tid int) {
	for {
		_, status, _, err := sys.Wait(tid, 0)
		if err != nil || !status.Stopped() {
			return
		}
		sys.Cont(tid, 0)
	}
}

// Unregister takes all memory of the program off the userfaultfd.
func (p *Process) Unregister(u *sys.UFFD) error {
	ms, err := p.Mappings()
	if err != nil {
		return err
	}
	for _, m := range ms {
		if m.Kind != vm.Coherent {
			continue
		}
		if err := u.Unregister(uint64(m.Start), m.Size()); err != nil && !errors.Is(err, sys.EINVAL) {
			return fmt.Errorf("unregister %v from userfaultfd: %w", m.Range, err)
		}
	}
	return nil
}

// EndDistribution undoes Distribute through the stopped thread tid: nothing of ours is
// mapped any more, and the program can be distributed anew.
func (p *Process) EndDistribution(tid int) error {
	p.dropSlots()
	p.files = files{}
	p.Butler, p.Holder = 0, 0
	return p.TakeAgentAway(tid)
}

// RestoreRseq registers the restartable sequences c again that DropRseq ended.
func (p *Process) RestoreRseq(tid int, c sys.RseqConfig) error {
	_, err := p.Call(tid, sys.SYS_RSEQ, c.Ptr, uint64(c.Size), 0, uint64(c.Signature))
	return err
}

// tracedBy is the process that traces a thread, 0 for none (proc(5), TracerPid).
func tracedBy(pid, tid int) int {
	n, _ := strconv.Atoi(statusField(pid, tid, "TracerPid"))
	return n
}

// dying tells whether a thread has ended or is gone.
func dying(pid, tid int) bool {
	s := statusField(pid, tid, "State")
	return s == "" || s[0] == 'Z' || s[0] == 'X'
}
