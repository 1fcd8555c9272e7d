package guest

import (
	"errors"
	"fmt"
	"slices"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Home is what Distribute gets out of the origin's guest: the descriptors that
// must outlive the supervisor until the guest is gone.
type Home struct {
	UFFD     *sys.UFFD
	Listener int
}

// UserFaults are the userfaultfd features a guest's memory needs: write-protect
// faults, and the thread that faults.
const userFaults = sys.UFFD_FEATURE_PAGEFAULT_FLAG_WP | sys.UFFD_FEATURE_THREAD_ID

// ConfineAtRest gives the process in its stub the filter for the popcorn calls
// (numbers), which the program then keeps.
func (p *Process) ConfineAtRest(numbers []int) error {
	prog, err := restFilter(numbers)
	if err != nil {
		return err
	}
	scratch, err := p.stackScratch(p.PID)
	if err != nil {
		return err
	}
	_, err = p.installFilter(p.PID, prog, 0, scratch)
	return err
}

// stackScratch is 8 KiB below the red zone of tid's stack.
func (p *Process) stackScratch(tid int) (uint64, error) {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return 0, fmt.Errorf("read registers of %d: %w", tid, err)
	}
	return (r.Rsp - 128 - 8192) &^ 63, nil
}

// PutAgent maps the agent into the program through its stopped thread tid, unless
// it is there.
func (p *Process) PutAgent(tid int) error {
	if p.agent {
		return nil
	}
	const flags = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_FIXED_NOREPLACE
	if _, err := p.BootCall(tid, sys.SYS_MMAP, uint64(AgentBase), vm.PageSize,
		sys.PROT_READ|sys.PROT_EXEC, flags, ^uint64(0), 0); err != nil {
		return fmt.Errorf("map agent: %w", err)
	}
	if err := p.Write(AgentBase, stubELF()); err != nil {
		return fmt.Errorf("write agent: %w", err)
	}
	t := tableMapping()
	if _, err := p.Call(tid, t.Nr, t.Args[:]...); err != nil {
		return fmt.Errorf("map agent table: %w", err)
	}
	p.agent = true
	return nil
}

// TakeAgentAway unmaps all that is ours in a program that is not distributed,
// through its stopped thread tid, unless the program needs it.
func (p *Process) TakeAgentAway(tid int) error {
	if p.agentStays {
		return nil
	}
	r := AgentRange()
	if _, err := p.BootCall(tid, sys.SYS_MUNMAP, uint64(r.Start), r.Size()); err != nil {
		return fmt.Errorf("unmap agent: %w", err)
	}
	p.agent = false
	return nil
}

// AgentStays tells whether the program needs the agent: it was restored under
// another kernel than it was saved under, and has the old one's vDSO, changed.
func (p *Process) AgentStays() bool { return p.agentStays }

// HasAgent tells whether the agent is mapped.
func (p *Process) HasAgent() bool { return p.agent }

// Distribute prepares the origin's guest for having threads away: slots, the
// butler, the holder, a userfaultfd, and (unless the process has it since before an exec)
// the home filter. The thread tid does the work; all threads must be stopped.
// When it fails the program can run on, but not be distributed any more.
func (p *Process) Distribute(tid int, filtered bool) (h Home, err error) {
	h.Listener = -1
	if err := p.PutAgent(tid); err != nil {
		return h, err
	}
	if err := p.putSlots(tid); err != nil {
		return h, err
	}
	u, fd, err := p.openUFFD(tid, userFaults)
	if err != nil {
		return h, err
	}
	h.UFFD = u
	theirs := []int{fd}
	threads, err := p.newThreads(tid, 2)
	if err == nil && !filtered {
		h.Listener, fd, err = p.listenAtHome(tid)
		if err == nil {
			theirs = append(theirs, fd)
		}
	}
	if err == nil {
		err = p.startServants(threads[0], threads[1], theirs)
	} else {
		err = errors.Join(err, p.dismiss(threads))
	}
	for _, fd := range theirs {
		_, closed := p.Call(tid, sys.SYS_CLOSE, uint64(fd))
		err = errors.Join(err, closed)
	}
	if err != nil {
		h.UFFD.Close()
	}
	return h, err
}

func (p *Process) listenAtHome(tid int) (ours, theirs int, err error) {
	prog, err := homeFilter()
	if err != nil {
		return -1, -1, err
	}
	return p.listen(tid, prog, sys.SECCOMP_FILTER_FLAG_TSYNC|sys.SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
}

// listen makes thread tid install a filter with a listener. The listener is
// ours and, until it is closed there, the guest's descriptor theirs.
func (p *Process) listen(tid int, prog filter, flags uint64) (ours, theirs int, err error) {
	flags |= sys.SECCOMP_FILTER_FLAG_NEW_LISTENER | sys.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	theirs, err = p.installFilter(tid, prog, flags, uint64(tableBase))
	if err != nil {
		return -1, -1, err
	}
	if ours, err = p.copyFD(tid, theirs); err != nil {
		return -1, -1, err
	}
	if err := sys.NotifSyncWakeup(ours); err != nil && !errors.Is(err, sys.EINVAL) && !errors.Is(err, sys.ENOTTY) {
		sys.Close(ours)
		return -1, -1, fmt.Errorf("set listener flags: %w", err)
	}
	return ours, theirs, nil
}

func (p *Process) putSlots(tid int) error {
	name, err := p.WriteTable([]byte("popcorn-slots\x00"))
	if err != nil {
		return err
	}
	const cloexec = 1
	fd, err := p.Call(tid, sys.SYS_MEMFD_CREATE, name, cloexec)
	if err != nil {
		return fmt.Errorf("make slots: %w", err)
	}
	if _, err := p.Call(tid, sys.SYS_FTRUNCATE, fd, sharedSize); err != nil {
		return fmt.Errorf("size slots: %w", err)
	}
	if _, err := p.Call(tid, sys.SYS_MMAP, uint64(slotBase), sharedSize, sys.PROT_READ|sys.PROT_WRITE,
		sys.MAP_SHARED|sys.MAP_FIXED_NOREPLACE, fd, 0); err != nil {
		return fmt.Errorf("map slots: %w", err)
	}
	ours, err := p.TakeFD(tid, int(fd))
	if err != nil {
		return err
	}
	p.dropSlots()
	p.Slots, err = NewSlots(ours)
	return err
}

// openUFFD makes a userfaultfd for the guest's memory; it is also, until it is
// closed there, the guest's descriptor theirs.
func (p *Process) openUFFD(tid int, features uint64) (u *sys.UFFD, theirs int, err error) {
	fd, err := p.Call(tid, sys.SYS_USERFAULTFD, sys.O_CLOEXEC|sys.O_NONBLOCK)
	if errors.Is(err, sys.EPERM) {
		fd, err = p.devUFFD(tid, err)
	}
	if err != nil {
		return nil, -1, fmt.Errorf("open userfaultfd in process %d (see \"popcorn check\"): %w", p.PID, err)
	}
	ours, err := p.copyFD(tid, int(fd))
	if err != nil {
		return nil, -1, err
	}
	u = sys.NewUFFD(ours)
	if _, err := u.Handshake(features); err != nil {
		u.Close()
		return nil, -1, fmt.Errorf("set up userfaultfd: %w", err)
	}
	return u, int(fd), nil
}

// devUFFD makes a userfaultfd by the device whose permissions grant it; denied
// is why there is no other way.
func (p *Process) devUFFD(tid int, denied error) (uint64, error) {
	name, err := p.WriteTable([]byte(sys.DevUFFD + "\x00"))
	if err != nil {
		return 0, err
	}
	const cwd = ^uint64(99) // AT_FDCWD
	dev, err := p.Call(tid, sys.SYS_OPENAT, cwd, name, sys.O_RDWR|sys.O_CLOEXEC)
	if err != nil {
		return 0, denied
	}
	fd, err := p.Call(tid, sys.SYS_IOCTL, dev, sys.USERFAULTFD_IOC_NEW, sys.O_CLOEXEC|sys.O_NONBLOCK)
	_, closed := p.Call(tid, sys.SYS_CLOSE, dev)
	return fd, errors.Join(err, closed)
}

// threadFlags: a thread in the kernel's sense, without thread-local storage or
// tids written anywhere.
const threadFlags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000

// NewThread makes the stopped thread tid clone one, which stands stopped.
func (p *Process) NewThread(tid int) (int, error) {
	child, err := p.Call(tid, sys.SYS_CLONE, threadFlags)
	if err != nil {
		return 0, fmt.Errorf("make thread: %w", err)
	}
	if _, err := p.tracer.WaitStop(int(child)); err != nil {
		return 0, err
	}
	return int(child), nil
}

// newThreads is NewThread, n times; those made before an error are returned with it.
func (p *Process) newThreads(tid, n int) (tids []int, err error) {
	for range n {
		child, err := p.NewThread(tid)
		if err != nil {
			return tids, err
		}
		tids = append(tids, child)
	}
	return tids, nil
}

// startServants makes two new, stopped threads the butler and the holder. The
// holder does nothing but keep the descriptors fds, in a table of its own that
// the program cannot reach: should every supervisor and popcorn run be killed at
// once, so that nobody else has them, the program still waits for its missing
// pages until it is killed too.
func (p *Process) startServants(butler, holder int, fds []int) error {
	if err := p.keepOnly(holder, fds); err != nil {
		return err
	}
	p.Butler, p.Holder, p.butlerGone, p.errands = butler, holder, false, errands{}
	return errors.Join(p.serve(butler, butlerSlot), p.serve(holder, holderSlot))
}

// serve lets a stopped thread of ours wait for commands in a slot.
func (p *Process) serve(tid, slot int) error {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return fmt.Errorf("read registers of %d: %w", tid, err)
	}
	r.Rip, r.Rbx, r.Orig_rax = label(offButler), uint64(SlotAddr(slot)), ^uint64(0)
	if err := sys.SetRegs(tid, &r); err != nil {
		return fmt.Errorf("write registers of %d: %w", tid, err)
	}
	if err := sys.SetSigMask(tid, allSignals); err != nil {
		return fmt.Errorf("block signals of %d: %w", tid, err)
	}
	return sys.Cont(tid, 0)
}

// EndServants has the butler and the holder exit, without waiting for it.
func (p *Process) EndServants() {
	p.Slots.Post(butlerSlot, sysExit, [6]uint64{})
	p.Slots.Post(holderSlot, sysExit, [6]uint64{})
}

const sysExit = 60

// keepOnly gives a stopped thread a table of descriptors with fds alone.
func (p *Process) keepOnly(tid int, fds []int) error {
	const cloneFiles = 0x400
	calls := []Entry{{sys.SYS_UNSHARE, [6]uint64{cloneFiles}}}
	fds = append([]int(nil), fds...)
	slices.Sort(fds)
	first := 0
	for _, fd := range fds {
		if fd > first {
			calls = append(calls, Entry{sys.SYS_CLOSE_RANGE, [6]uint64{uint64(first), uint64(fd - 1)}})
		}
		first = fd + 1
	}
	calls = append(calls, Entry{sys.SYS_CLOSE_RANGE, [6]uint64{uint64(first), 1<<32 - 1}})
	if _, err := p.Batch(tid, calls); err != nil {
		return fmt.Errorf("keep descriptors in thread %d: %w", tid, err)
	}
	return nil
}

// dismiss ends stopped threads that NewThread made.
func (p *Process) dismiss(tids []int) (err error) {
	for _, tid := range tids {
		err = errors.Join(err, p.dismissOne(tid))
	}
	return err
}

func (p *Process) dismissOne(tid int) error {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return fmt.Errorf("read registers of %d: %w", tid, err)
	}
	setCall(&r, label(offInject), sysExit, nil)
	if err := sys.SetRegs(tid, &r); err != nil {
		return fmt.Errorf("write registers of %d: %w", tid, err)
	}
	for { // its exit stop, then its end
		if err := sys.Cont(tid, 0); err != nil {
			return fmt.Errorf("resume thread %d: %w", tid, err)
		}
		if _, err := p.tracer.WaitStop(tid); err != nil {
			return nil // gone
		}
	}
}
