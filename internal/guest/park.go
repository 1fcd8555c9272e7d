package guest

import (
	"errors"
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Parked is a new child process that waits, untraced, in a system call of ours until
// somebody takes it over: what it goes on with then.
type Parked struct {
	Regs sys.Regs `json:"regs"`
	Mask uint64   `json:"mask"` // of signals
}

// parkMillis is how long it waits at most. Should nobody come it goes on by itself:
// poll(2) returns 0 then, which is what fork(2) returns in a child.
const parkMillis = 60_000

// Park has the process tid, which stands in its first stop after fork(2), wait as soon
// as it is let go.
func Park(tid int) (k Parked, err error) {
	if err := sys.GetRegs(tid, &k.Regs); err != nil {
		return k, fmt.Errorf("read registers of %d: %w", tid, err)
	}
	if k.Mask, err = sys.GetSigMask(tid); err != nil {
		return k, fmt.Errorf("read signal mask of %d: %w", tid, err)
	}
	k.Regs.Orig_rax = ^uint64(0) // no call to be made again
	r := k.Regs
	setCall(&r, k.Regs.Rip-2, sys.SYS_POLL, []uint64{0, 0, parkMillis}) // by the instruction that made it fork
	if err := errors.Join(sys.SetRegs(tid, &r), sys.SetSigMask(tid, allSignals)); err != nil {
		return k, fmt.Errorf("park process %d: %w", tid, err)
	}
	return k, nil
}

// Resume gives the stopped process tid back what it was parked with. One that has
// waited in vain has gone on already: it only lacks its signal mask.
func (k Parked) Resume(tid int) error {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return fmt.Errorf("read registers of %d: %w", tid, err)
	}
	waits := r.Rip == k.Regs.Rip && r.Orig_rax == sys.SYS_POLL
	begins := r.Rip == k.Regs.Rip-2 && r.Rax == sys.SYS_POLL
	if waits || begins {
		if err := sys.SetRegs(tid, &k.Regs); err != nil {
			return fmt.Errorf("write registers of %d: %w", tid, err)
		}
	}
	mask, err := sys.GetSigMask(tid)
	if err == nil && mask|1<<(sys.SIGKILL-1)|1<<(sys.SIGSTOP-1) == allSignals {
		err = sys.SetSigMask(tid, k.Mask)
	}
	if err != nil {
		return fmt.Errorf("write signal mask of %d: %w", tid, err)
	}
	return nil
}

// AdoptParked takes over a process that waits so; it stands stopped then, as if its
// fork had just returned.
func AdoptParked(t *Tracer, pid int, k Parked) (*Process, error) {
	p, _, err := Adopt(t, pid)
	if err != nil {
		return nil, err
	}
	if err := sys.Interrupt(pid); err != nil {
		return nil, fmt.Errorf("interrupt process %d: %w", pid, err)
	}
	if err := p.awaitInterrupt(); err != nil {
		return nil, err
	}
	if err := k.Resume(pid); err != nil {
		return nil, err
	}
	return p, p.dropInherited()
}

// CleanChild has a child of the program with memory of its own, stopped since it was
// made, give up what it shares with us.
func (p *Process) CleanChild(pid int) error {
	c := &Process{PID: pid, tracer: p.tracer, mem: -1, maps: -1, pmap: -1, Pidfd: -1}
	defer c.Close()
	if err := c.Reopen(); err != nil {
		return err
	}
	return c.dropInherited()
}

// FindAgent looks whether the program has the agent of a parent's, which serves.
func (p *Process) FindAgent() error {
	ms, err := p.Mappings()
	if err != nil {
		return err
	}
	for _, m := range ms {
		p.agent = p.agent || m.Contains(AgentBase)
	}
	return nil
}

// dropInherited unmaps what a parent's agent shares with its supervisor. The agent
// itself, and its table, are a copy, and serve.
func (p *Process) dropInherited() error {
	if err := p.FindAgent(); err != nil || !p.agent {
		return err
	}
	rest := vm.Range{Start: tableBase + tableSize, End: agentEnd}
	if _, err := p.Call(p.PID, sys.SYS_MUNMAP, uint64(rest.Start), rest.Size()); err != nil {
		return fmt.Errorf("unmap what the parent's agent has left: %w", err)
	}
	return nil
}

// Release has a process that waits so go on, when nobody traces it. The calling
// goroutine must be locked to its thread.
func (k Parked) Release(pid int) error {
	if err := errors.Join(sys.Seize(pid, 0), sys.Interrupt(pid)); err != nil {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	if _, status, _, err := sys.Wait(pid, 0); err != nil || !status.Stopped() {
		return errors.Join(fmt.Errorf("stop process %d: %w", pid, ErrGone), err)
	}
	return errors.Join(k.Resume(pid), sys.Detach(pid, 0))
}
