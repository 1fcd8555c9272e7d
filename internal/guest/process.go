package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// traceOptions: every new thread, child and program stops for us, and so does a
// thread about to exit, while it can still take faults. EXITKILL ends the guest
// with its supervisor.
const traceOptions = sys.O_TRACECLONE | sys.O_TRACEFORK | sys.O_TRACEVFORK | sys.O_TRACEEXEC |
	sys.O_TRACEEXIT | sys.O_TRACESECCOMP | sys.O_TRACESYSGOOD | sys.O_EXITKILL

// Process is one guest. Its zero value is of no use; Start makes one.
type Process struct {
	PID    int
	Pidfd  int
	tracer *Tracer
	mem    int
	maps   int
	pmap   int

	// Set by Distribute at home.
	Slots  *Slots
	Butler int // thread that changes the address space for us
	Holder int // thread that keeps descriptors, see startServants
	// butlerGone: it has ended, or is about to.
	butlerGone bool
	// strayTrap: a SIGTRAP that somebody sent came while a call was injected.
	strayTrap  bool
	errands    errands
	files      files
	droppables []vm.Range // memory that KeepAll has made ordinary
	// agent: it is mapped.
	agent bool
	// cloned is the last thread or process that an injected call made, by our ids: the
	// guest's may be those of a namespace of its own.
	cloned int
	// agentStays: the vDSO's functions jump there.
	agentStays bool
	// held: it was started with signals held back, which its program gets.
	held bool
}

// Start runs the stub with a's arguments, environment and descriptors and seizes
// it. The process stands stopped in the stub, its stack holding the arguments
// for the program that Exec puts in its place.
func Start(t *Tracer, a sys.SpawnAttr) (*Process, error) {
	fd, err := stubFile()
	if err != nil {
		return nil, err
	}
	defer sys.Close(fd)
	pid, err := sys.Spawn(fmt.Sprintf("/proc/%d/fd/%d", sys.Getpid(), fd), a) // the child may have fd closed
	if err != nil {
		return nil, fmt.Errorf("start stub: %w", err)
	}
	p := &Process{PID: pid, tracer: t, mem: -1, maps: -1, pmap: -1, Pidfd: -1}
	p.held = a.Held != 0
	t.Kick()
	if err := p.seize(); err != nil {
		p.Kill()
		return nil, err
	}
	p.agent = true // it is what the stub consists of
	return p, nil
}

func stubFile() (int, error) {
	fd, err := sys.Memfd("popcorn-stub", 0)
	if err != nil {
		return -1, fmt.Errorf("make stub file: %w", err)
	}
	elf := stubELF()
	if _, err := sys.Pwrite(fd, elf, 0); err != nil {
		sys.Close(fd)
		return -1, fmt.Errorf("write stub file: %w", err)
	}
	// An executable may not be open for writing (ETXTBSY).
	ro, err := sys.Open(fmt.Sprintf("/proc/self/fd/%d", fd), sys.O_RDONLY|sys.O_CLOEXEC, 0)
	sys.Close(fd)
	if err != nil {
		return -1, fmt.Errorf("reopen stub file: %w", err)
	}
	return ro, nil
}

func (p *Process) seize() error {
	if err := sys.Seize(p.PID, traceOptions); err != nil {
		return fmt.Errorf("seize process %d: %w", p.PID, err)
	}
	if err := sys.Interrupt(p.PID); err != nil {
		return fmt.Errorf("interrupt process %d: %w", p.PID, err)
	}
	if err := p.awaitInterrupt(); err != nil {
		return err
	}
	var err error
	if p.Pidfd, err = sys.PidfdOpen(p.PID, 0); err != nil {
		return fmt.Errorf("open pidfd of %d: %w", p.PID, err)
	}
	return p.Reopen()
}

// awaitInterrupt waits for the stop just asked for. The starting fork returns
// while the stub's own execve is still under way (its close-on-exec pipe closes
// early), so that exec's event may come first. Registers set there are lost, and
// the event's stop takes the interrupt with it (ptrace_stop, kernel/signal.c).
func (p *Process) awaitInterrupt() error {
	for {
		status, err := p.tracer.WaitStop(p.PID)
		if err != nil {
			return err
		}
		if sys.StopEvent(status) == sys.EVENT_STOP {
			return nil
		}
		if err := errors.Join(sys.Interrupt(p.PID), sys.Cont(p.PID, 0)); err != nil {
			return fmt.Errorf("interrupt process %d again: %w", p.PID, err)
		}
	}
}

// takeSignals has the program get the signals that were held back for it.
func (p *Process) takeSignals() error {
	if !p.held {
		return nil
	}
	p.held = false
	mask, err := sys.SigMask()
	if err != nil {
		return fmt.Errorf("read blocked signals: %w", err)
	}
	if err := sys.SetSigMask(p.PID, mask); err != nil {
		return fmt.Errorf("set blocked signals of %d: %w", p.PID, err)
	}
	return nil
}

// Reopen opens the files that are bound to an address space; needed after every
// exec, since the old ones stay with the old memory.
func (p *Process) Reopen() error {
	p.agent, p.agentStays = false, false
	for _, f := range []struct {
		fd   *int
		name string
		mode int
	}{{&p.mem, "mem", sys.O_RDWR}, {&p.maps, "maps", sys.O_RDONLY}, {&p.pmap, "pagemap", sys.O_RDONLY}} {
		fd, err := sys.Open(fmt.Sprintf("/proc/%d/%s", p.PID, f.name), f.mode|sys.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s of process %d: %w", f.name, p.PID, err)
		}
		if *f.fd >= 0 {
			sys.Close(*f.fd)
		}
		*f.fd = fd
	}
	return nil
}

// Kill ends the process; its exit still has to be collected.
func (p *Process) Kill() {
	if p.Pidfd >= 0 {
		sys.PidfdSendSignal(p.Pidfd, sys.SIGKILL)
		return
	}
	sys.Kill(p.PID, sys.SIGKILL)
}

// End kills the process and collects its threads until it is gone, or fails
// after patience.
func (p *Process) End(patience time.Duration) error {
	p.Kill()
	// A thread in its exit stop is not woken by SIGKILL: it has one already.
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID)) // gone: no tasks
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			sys.Cont(tid, 0)
		}
	}
	for deadline := sys.Monotonic() + patience; ; {
		for e := range p.tracer.Events {
			if e.TID == p.PID && !e.Status.Stopped() {
				return nil
			}
			if e.Status.Stopped() {
				sys.Cont(e.TID, 0)
			}
		}
		left := deadline - sys.Monotonic()
		if p.collected() {
			return nil
		}
		if left <= 0 {
			return fmt.Errorf("end process %d: %w", p.PID, sys.ETIMEDOUT)
		}
		sys.AwaitReadable(p.tracer.FD(), left)
	}
}

// collected tells whether somebody has collected the process's exit before.
func (p *Process) collected() bool {
	return p.Pidfd >= 0 && errors.Is(sys.PidfdSendSignal(p.Pidfd, 0), sys.ESRCH)
}

// Close releases our descriptors of the process, which must be gone.
func (p *Process) Close() {
	for _, fd := range []*int{&p.mem, &p.maps, &p.pmap, &p.Pidfd} {
		if *fd >= 0 {
			sys.Close(*fd)
			*fd = -1
		}
	}
	p.dropSlots()
}

func (p *Process) dropSlots() {
	if p.Slots != nil {
		p.Slots.Close()
		p.Slots = nil
	}
}

// short is why less was transferred: nothing at all comes from a dead address space.
func short(n int) error {
	if n == 0 {
		return sys.ESRCH
	}
	return sys.EIO
}

// Read fills b from address a. A page that is away or write-protected away
// under userfaultfd gives EIO at once, never a wait.
func (p *Process) Read(a vm.Addr, b []byte) error {
	n, err := sys.PeekMemory(p.mem, b, int64(a))
	if err == nil && n < len(b) {
		err = short(n)
	}
	if err != nil {
		return fmt.Errorf("read guest memory at %v: %w", a, err)
	}
	return nil
}

// Write copies b to address a, whatever the mapping's protection.
func (p *Process) Write(a vm.Addr, b []byte) error {
	n, err := sys.Pwrite(p.mem, b, int64(a))
	if err == nil && n < len(b) {
		err = short(n)
	}
	if err != nil {
		return fmt.Errorf("write guest memory at %v: %w", a, err)
	}
	return nil
}

// TakeFD moves the guest's descriptor fd here: duplicated into this process,
// closed there by thread tid, which must be stopped.
func (p *Process) TakeFD(tid, fd int) (int, error) {
	ours, err := p.copyFD(tid, fd)
	if err != nil {
		return -1, err
	}
	if _, err := p.Call(tid, sys.SYS_CLOSE, uint64(fd)); err != nil {
		sys.Close(ours)
		return -1, err
	}
	return ours, nil
}

// copyFD duplicates descriptor fd of thread tid into this process.
func (p *Process) copyFD(tid, fd int) (int, error) {
	ours, err := sys.PidfdGetfd(p.Pidfd, fd)
	if errors.Is(err, sys.EBADF) || errors.Is(err, sys.ESRCH) { // the first thread has ended, and with it its table of descriptors
		ours, err = takeFrom(tid, fd)
	}
	if err != nil {
		return -1, fmt.Errorf("take descriptor %d of process %d: %w", fd, p.PID, err)
	}
	return ours, nil
}

// takeFrom duplicates thread tid's descriptor fd into this process (Linux 6.9).
func takeFrom(tid, fd int) (int, error) {
	thread, err := sys.PidfdOpen(tid, sys.PIDFD_THREAD)
	if err != nil {
		return -1, err
	}
	defer sys.Close(thread)
	return sys.PidfdGetfd(thread, fd)
}

// errnoOf turns a system call's return value into an error.
func errnoOf(ret uint64) error {
	if ret > ^uint64(4095) {
		return sys.Errno(-ret)
	}
	return nil
}

// ErrExec wraps the errno with which the program could not be executed.
var ErrExec = errors.New("cannot execute")

// Exec replaces the stub by the program at path, with the arguments the stub was
// started with. The process then stands in the exec event stop.
func (p *Process) Exec(path string) error {
	var regs sys.Regs
	if err := sys.GetRegs(p.PID, &regs); err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	var argc [8]byte
	if err := p.Read(vm.Addr(regs.Rsp), argc[:]); err != nil {
		return err
	}
	argv := regs.Rsp + 8
	envp := argv + 8*(le64(argc[:])+1)
	name := (regs.Rsp - 256 - uint64(len(path)) - 1) &^ 15
	if err := p.Write(vm.Addr(name), append([]byte(path), 0)); err != nil {
		return err
	}
	regs.Rip, regs.Rax, regs.Orig_rax = label(offInject), sys.SYS_EXECVE, ^uint64(0)
	regs.Rdi, regs.Rsi, regs.Rdx = name, argv, envp
	if err := sys.SetRegs(p.PID, &regs); err != nil {
		return fmt.Errorf("write registers: %w", err)
	}
	return p.awaitExec()
}

func (p *Process) awaitExec() error {
	for {
		if err := sys.Cont(p.PID, 0); err != nil {
			return fmt.Errorf("resume process %d: %w", p.PID, err)
		}
		status, err := p.tracer.WaitStop(p.PID)
		if err != nil {
			return err
		}
		switch sys.StopEvent(status) {
		case sys.EVENT_EXEC:
			if err := p.takeSignals(); err != nil {
				return err
			}
			return p.Reopen()
		case sys.EVENT_STOP: // an interrupt from before
			continue
		}
		var regs sys.Regs
		if err := sys.GetRegs(p.PID, &regs); err != nil {
			return fmt.Errorf("read registers: %w", err)
		}
		return fmt.Errorf("%w: %w", ErrExec, errnoOf(regs.Rax))
	}
}
