package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"popcorn/internal/sys"
)

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// allSignals blocks everything that can be blocked.
const allSignals = ^uint64(0)

// allButTraps blocks everything that can be blocked but SIGTRAP, by which injected
// code ends: one that is raised while blocked takes the program's own handler away
// (force_sig_info_to_task, kernel/signal.c; test/guests/sig_sync.c).
const allButTraps = allSignals &^ (1 << (sys.SIGTRAP - 1))

func setCall(r *sys.Regs, site, nr uint64, args []uint64) {
	var a [6]uint64
	copy(a[:], args)
	r.Rip, r.Rax, r.Orig_rax = site, nr, ^uint64(0)
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = a[0], a[1], a[2], a[3], a[4], a[5]
}

// Call makes the stopped thread tid execute one system call, which must not
// block, and returns what it returned; errors of the call are errors here.
// Registers and signal mask are as before afterwards. The agent's page must be there.
func (p *Process) Call(tid int, nr uint64, args ...uint64) (uint64, error) {
	ret, err := p.diverted(tid, func(r *sys.Regs) (uint64, error) {
		setCall(r, label(offInject), nr, args)
		if err := p.untilTrap(tid, r, label(offInjectDone)+1); err != nil {
			return 0, err
		}
		return r.Rax, nil
	})
	if err != nil {
		return 0, fmt.Errorf("inject system call %d into thread %d: %w", nr, tid, err)
	}
	if err := errnoOf(ret); err != nil {
		return 0, fmt.Errorf("system call %d in thread %d: %w", nr, tid, err)
	}
	return ret, nil
}

// BootCall is Call when the agent is not there, or is to go: it uses the system call
// instruction every x86-64 vDSO has for its fallbacks.
func (p *Process) BootCall(tid int, nr uint64, args ...uint64) (uint64, error) {
	site, err := p.vdsoSyscall()
	if err != nil {
		return 0, err
	}
	ret, err := p.diverted(tid, func(r *sys.Regs) (uint64, error) {
		setCall(r, site, nr, args)
		if err := sys.SetRegs(tid, r); err != nil {
			return 0, err
		}
		for range 2 { // entry, exit
			if err := p.step(tid); err != nil {
				return 0, err
			}
		}
		err := sys.GetRegs(tid, r)
		return r.Rax, err
	})
	if err == nil {
		err = p.standInSignals(tid)
	}
	if err != nil {
		return 0, fmt.Errorf("inject system call %d into thread %d by its vDSO: %w", nr, tid, err)
	}
	if err := errnoOf(ret); err != nil {
		return 0, fmt.Errorf("system call %d in thread %d: %w", nr, tid, err)
	}
	return ret, nil
}

// standInSignals takes a stopped thread to where the kernel looks for signals, with
// the registers it has. Only there is a call made again that a stop had interrupted
// (arch_do_signal_or_restart, arch/x86/kernel/signal.c); a thread that stands at the
// exit of another call would return the kernel's own code for it to user space.
func (p *Process) standInSignals(tid int) error {
	if err := errors.Join(sys.Interrupt(tid), sys.Cont(tid, 0)); err != nil {
		return err
	}
	status, err := p.tracer.WaitStop(tid)
	if err == nil && sys.StopEvent(status) != sys.EVENT_STOP {
		err = fmt.Errorf("thread stopped with status %#x", uint32(status))
	}
	return err
}

// diverted runs f with the thread's registers and restores them and the signal mask.
func (p *Process) diverted(tid int, f func(*sys.Regs) (uint64, error)) (uint64, error) {
	var saved sys.Regs
	if err := sys.GetRegs(tid, &saved); err != nil {
		return 0, err
	}
	mask, err := sys.GetSigMask(tid)
	if err != nil {
		return 0, err
	}
	if err := sys.SetSigMask(tid, allButTraps); err != nil {
		return 0, err
	}
	work := saved
	ret, err := f(&work)
	if errors.Is(err, ErrGone) {
		return 0, err
	}
	if p.strayTrap {
		p.strayTrap = false
		err = errors.Join(err, sys.Tgkill(p.PID, tid, sys.SIGTRAP))
	}
	return ret, errors.Join(err, sys.SetRegs(tid, &saved), sys.SetSigMask(tid, mask))
}

// untilTrap resumes tid with r until it traps at address at; r is what it has then.
func (p *Process) untilTrap(tid int, r *sys.Regs, at uint64) error {
	if err := sys.SetRegs(tid, r); err != nil {
		return err
	}
	for {
		if err := sys.Cont(tid, 0); err != nil {
			return err
		}
		status, err := p.tracer.WaitStop(tid)
		if err != nil {
			return err
		}
		if err := sys.GetRegs(tid, r); err != nil {
			return err
		}
		switch {
		case status.StopSignal() == sys.SIGTRAP && sys.StopEvent(status) == 0 && r.Rip == at:
			return nil
		case sys.StopEvent(status) == sys.EVENT_CLONE: // the injected call was clone
			id, err := sys.EventMsg(tid)
			if err != nil {
				return err
			}
			p.cloned = int(id)
		case sys.StopEvent(status) == sys.EVENT_STOP: // an interrupt sent earlier arrives now
		case status.StopSignal() == sys.SIGTRAP && sys.StopEvent(status) == 0:
			p.strayTrap = true // somebody sent it: it is sent again afterwards
		default:
			return fmt.Errorf("thread stopped at %#x with status %#x", r.Rip, uint32(status))
		}
	}
}

// step resumes tid until the next system call entry or exit.
func (p *Process) step(tid int) error {
	for {
		if err := sys.SyscallStep(tid, 0); err != nil {
			return err
		}
		status, err := p.tracer.WaitStop(tid)
		if err != nil {
			return err
		}
		switch {
		case status.StopSignal() == sys.SIGTRAP|0x80:
			return nil
		case status.StopSignal() == sys.SIGTRAP && sys.StopEvent(status) == 0:
			p.strayTrap = true
		case sys.StopEvent(status) == sys.EVENT_STOP:
			// An interrupt that was sent before the thread stopped for us.
		default:
			return fmt.Errorf("thread stopped with status %#x", uint32(status))
		}
	}
}

// Skip leaves a seccomp event stop without making the call: the thread then
// stands in the call's exit stop with ret as the result.
func (p *Process) Skip(tid int, ret uint64) error {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return fmt.Errorf("read registers of %d: %w", tid, err)
	}
	r.Orig_rax, r.Rax = ^uint64(0), ret
	if err := sys.SetRegs(tid, &r); err != nil {
		return fmt.Errorf("write registers of %d: %w", tid, err)
	}
	if err := p.step(tid); err != nil {
		return fmt.Errorf("skip system call of %d: %w", tid, err)
	}
	return nil
}

// Finish runs an event stop inside a system call (exec, clone) to the call's exit stop.
func (p *Process) Finish(tid int) error { return p.step(tid) }

// vdsoSyscall finds a system call instruction in the vDSO.
func (p *Process) vdsoSyscall() (uint64, error) {
	ms, err := p.Mappings()
	if err != nil {
		return 0, err
	}
	for _, m := range ms {
		if m.Name != "[vdso]" {
			continue
		}
		code := make([]byte, m.Size())
		if err := p.Read(m.Start, code); err != nil {
			return 0, err
		}
		if i := bytes.Index(code, []byte{0x0f, 0x05}); i >= 0 {
			return uint64(m.Start) + uint64(i), nil
		}
	}
	return 0, errors.New("find system call instruction: this process has no vDSO")
}

// Entry is one system call of a batch.
type Entry struct {
	Nr   uint64
	Args [6]uint64
}

const maxBatch = tableSize/56 - 1

// Batch makes the stopped thread tid execute calls one after the other, until
// one fails. It returns how many succeeded.
func (p *Process) Batch(tid int, calls []Entry) (int, error) {
	done := 0
	for len(calls) > 0 {
		n := min(len(calls), maxBatch)
		k, err := p.batch(tid, calls[:n])
		done += k
		if err != nil {
			return done, err
		}
		calls = calls[n:]
	}
	return done, nil
}

func (p *Process) batch(tid int, calls []Entry) (int, error) {
	table := make([]byte, 0, (len(calls)+1)*56)
	for _, c := range calls {
		table = binary.LittleEndian.AppendUint64(table, c.Nr)
		for _, a := range c.Args {
			table = binary.LittleEndian.AppendUint64(table, a)
		}
	}
	table = binary.LittleEndian.AppendUint64(table, ^uint64(0))
	if err := p.Write(tableBase, table); err != nil {
		return 0, err
	}
	var at uint64
	ret, err := p.diverted(tid, func(r *sys.Regs) (uint64, error) {
		r.Rip, r.Orig_rax, r.Rbx = label(offBatch), ^uint64(0), uint64(tableBase)
		if err := p.untilTrap(tid, r, label(offBatchDone)+1); err != nil {
			return 0, err
		}
		at = (r.Rbx - uint64(tableBase)) / 56
		return r.Rax, nil
	})
	if err != nil {
		return 0, fmt.Errorf("inject %d system calls into thread %d: %w", len(calls), tid, err)
	}
	if int(at) < len(calls) {
		return int(at), fmt.Errorf("system call %d in thread %d: %w", calls[at].Nr, tid, errnoOf(ret))
	}
	return len(calls), nil
}

// tableMapping is the call that maps the batch
// table behind the agent's code, which the guest can only read.
func tableMapping() Entry {
	return Entry{sys.SYS_MMAP, [6]uint64{uint64(tableBase), tableSize, sys.PROT_READ,
		sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_FIXED_NOREPLACE, ^uint64(0), 0}}
}

// WriteTable puts data where the guest can read it for the next Call and returns its address.
func (p *Process) WriteTable(data []byte) (uint64, error) {
	if len(data) > tableSize {
		return 0, fmt.Errorf("write %d bytes to agent table of %d: %w", len(data), tableSize, sys.E2BIG)
	}
	return uint64(tableBase), p.Write(tableBase, data)
}
