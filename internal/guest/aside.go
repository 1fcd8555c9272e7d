package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Aside makes the stopped thread tid fork and returns the child, which stands
// stopped without any descriptor: a copy of the program's memory as it is now, to
// be read while the program runs on. The program does not notice: the child is its
// parent's, which is us, and to be killed by Kill, its end to be collected.
// Memory that children do not get (MADV_DONTFORK, MADV_WIPEONFORK) is not there.
func (p *Process) Aside(tid int) (*Process, error) {
	const cloneParent = 0x8000
	child, err := p.Call(tid, sys.SYS_CLONE, cloneParent)
	if err != nil {
		return nil, fmt.Errorf("copy process aside: %w", err)
	}
	c, err := p.adopt(int(child))
	if err != nil {
		return nil, err
	}
	c.agent = true
	// It must keep no pipe open and no file busy.
	if _, err := c.Call(c.PID, sys.SYS_CLOSE_RANGE, 0, 1<<32-1); err != nil {
		c.Kill()
		c.Close()
		return nil, fmt.Errorf("close descriptors of copy: %w", err)
	}
	return c, nil
}

// adopt makes a Process of a child that an injected call has just made.
func (p *Process) adopt(pid int) (*Process, error) {
	c := &Process{PID: pid, tracer: p.tracer, mem: -1, maps: -1, pmap: -1, Pidfd: -1}
	if _, err := p.tracer.WaitStop(pid); err != nil {
		return nil, err
	}
	var err error
	if c.Pidfd, err = sys.PidfdOpen(pid, 0); err == nil {
		err = c.Reopen()
	}
	if err != nil {
		c.Kill()
		c.Close()
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return c, nil
}

// cloneArgs is where in the agent's table clone3(2) finds its arguments, and
// behind them the wanted ids.
const (
	cloneArgsSize = 80 // up to set_tid_size
	cloneTIDs     = 96
)

// clone3 makes the stopped thread tid clone, the child getting the id want in the
// innermost namespace; 0 for any. EEXIST when it is taken.
func (p *Process) clone3(tid int, flags uint64, want int) (int, error) {
	b := make([]byte, cloneTIDs+8)
	put := func(at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
	put(0, flags)
	if want != 0 {
		put(64, uint64(tableBase)+cloneTIDs)
		put(72, 1)
		put(cloneTIDs, uint64(want))
	}
	if err := p.Write(tableBase, b); err != nil {
		return 0, err
	}
	_, err := p.Call(tid, sys.SYS_CLONE3, uint64(tableBase), cloneArgsSize)
	return p.cloned, err
}

// Confine gives the children that the stub p makes from now on process ids of their
// own (pid_namespaces(7)), and makes the first of them, which must be there as long
// as the others. It is left stopped, collects nobody and dies with us.
//
// It takes rights, or with user a namespace of users too (user_namespaces(7)), in
// which there is this process's user alone, with all capabilities until
// DropCapabilities.
func (p *Process) Confine(user bool) error {
	flags := uint64(sys.CLONE_NEWPID)
	if user {
		flags |= sys.CLONE_NEWUSER
	}
	if _, err := p.Call(p.PID, sys.SYS_UNSHARE, flags); err != nil {
		return fmt.Errorf("make pid namespace: %w", err)
	}
	if user {
		if err := p.mapUser(); err != nil {
			return err
		}
	}
	first, err := p.Twin(0)
	if err != nil {
		return err
	}
	defer first.Close()
	p.tracer.Abandon()         // nobody will see its end
	action := make([]byte, 32) // struct kernel_sigaction
	action[0] = 1              // SIG_IGN: what it inherits leaves no zombies
	at, err := first.WriteTable(action)
	if err == nil {
		_, err = first.Call(first.PID, sys.SYS_RT_SIGACTION, uint64(sys.SIGCHLD), at, 0, 8)
	}
	if err == nil {
		_, err = first.Call(first.PID, sys.SYS_CLOSE_RANGE, 0, 1<<32-1)
	}
	return err
}

// mapUser has the process's own user namespace know its user and group.
func (p *Process) mapUser() error {
	for _, f := range []struct {
		name string
		text string
	}{{"setgroups", "deny"}, {"uid_map", fmt.Sprintf("%d %[1]d 1", os.Geteuid())}, {"gid_map", fmt.Sprintf("%d %[1]d 1", os.Getegid())}} {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", p.PID, f.name), []byte(f.text), 0); err != nil {
			return fmt.Errorf("map user: %w", err)
		}
	}
	return nil
}

// DropCapabilities takes all capabilities from thread tid, whose scratch memory s
// is.
func (p *Process) DropCapabilities(tid int, s Scratch) error {
	const (
		sysCapset = 126
		version3  = 0x20080522 // linux/capability.h
	)
	at, err := s.Put(append(binary.LittleEndian.AppendUint64(nil, version3), make([]byte, 24)...))
	if err == nil {
		_, err = p.Call(tid, sysCapset, at, at+8)
	}
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// OwnProc gives the process a /proc that shows its own namespace.
func (p *Process) OwnProc() error {
	const (
		sysMount = 165
		private  = 1<<18 | 1<<14 // MS_PRIVATE | MS_REC
	)
	if _, err := p.Call(p.PID, sys.SYS_UNSHARE, sys.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	at, err := p.WriteTable([]byte("/\x00/proc\x00proc\x00"))
	if err == nil {
		_, err = p.Call(p.PID, sysMount, at+8, at, 0, private, 0)
	}
	if err == nil {
		_, err = p.Call(p.PID, sysMount, at+8, at+2, at+8, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// Twin makes the stub p fork, the child being our child too and having the
// process id want, 0 for any.
func (p *Process) Twin(want int) (*Process, error) {
	const cloneParent = 0x8000
	child, err := p.clone3(p.PID, cloneParent, want)
	if err != nil {
		return nil, fmt.Errorf("make process %d: %w", want, err)
	}
	c, err := p.adopt(child)
	if err == nil {
		c.agent = p.agent
	}
	return c, err
}

// MapTable gives a stub the table that batches of calls need.
func (p *Process) MapTable() error {
	t := tableMapping()
	if _, err := p.Call(p.PID, t.Nr, t.Args[:]...); err != nil {
		return fmt.Errorf("map agent table: %w", err)
	}
	return nil
}

// ThreadAs is NewThread with the thread id want, 0 for any.
func (p *Process) ThreadAs(want int) (int, error) {
	child, err := p.clone3(p.PID, threadFlags, want)
	if err != nil {
		return 0, fmt.Errorf("make thread %d: %w", want, err)
	}
	_, err = p.tracer.WaitStop(child)
	return child, err
}

// MapScratch gives the guest memory that injected calls may read and write,
// until DropScratch.
func (p *Process) MapScratch(tid int) (Scratch, error) {
	const flags = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_FIXED_NOREPLACE
	if _, err := p.Call(tid, sys.SYS_MMAP, uint64(scratchBase), scratchSize, sys.PROT_READ|sys.PROT_WRITE,
		flags, ^uint64(0), 0); err != nil {
		return Scratch{}, fmt.Errorf("map scratch memory: %w", err)
	}
	return Scratch{p}, nil
}

// DropScratch takes it back.
func (p *Process) DropScratch(tid int) error {
	_, err := p.Call(tid, sys.SYS_MUNMAP, uint64(scratchBase), scratchSize)
	return err
}

// Scratch is a piece of the guest's memory for what injected calls read and write.
type Scratch struct{ p *Process }

// ScratchSize is its size in bytes.
const ScratchSize = scratchSize

// Addr is its address.
func (Scratch) Addr() uint64 { return uint64(scratchBase) }

// Put writes b at its start and returns the address.
func (s Scratch) Put(b []byte) (uint64, error) {
	if len(b) > scratchSize {
		return 0, fmt.Errorf("pass %d bytes to guest: %w", len(b), sys.E2BIG)
	}
	return uint64(scratchBase), s.p.Write(scratchBase, b)
}

// Get reads its first n bytes.
func (s Scratch) Get(n int) ([]byte, error) {
	b := make([]byte, n)
	return b, s.p.Read(scratchBase, b)
}

// Emptied makes a twin's address space empty but for the agent, and for what the
// kernel gives every process, which it puts where the program had it: the vDSO
// image was vdso. Where this kernel's is another, the program gets the old one,
// its functions making system calls.
func (p *Process) Emptied(vdso []byte, want map[string]vm.Range) error {
	own, err := p.Mappings()
	if err != nil {
		return err
	}
	here, _, err := p.VDSO()
	if err != nil {
		return err
	}
	at := want[vdsoName]
	if string(here) != string(vdso) {
		want = nil
	}
	var stage, place []Entry
	next := StageBase
	for _, m := range own {
		switch to, known := want[m.Name]; {
		case m.Name == "[vsyscall]", m.Range.Overlaps(AgentRange()):
		case m.Kind == vm.Local && known && to.Size() == m.Size():
			stage = append(stage, move(m.Range, next))
			place = append(place, move(vm.Range{Start: next, End: next + vm.Addr(m.Size())}, to.Start))
			next += vm.Addr(m.Size())
		default:
			stage = append(stage, unmap(m.Range))
		}
	}
	if _, err := p.Batch(p.PID, append(stage, place...)); err != nil {
		return fmt.Errorf("empty process: %w", err)
	}
	if want == nil && len(vdso) > 0 {
		p.agentStays = true
		return p.placeVDSO(vdso, at)
	}
	return nil
}

// Detached replaces the agent's page, a mapping of the stub's file, by memory, so
// that the process no longer maps what it was started from (PR_SET_MM wants that).
func (p *Process) Detached() error {
	const flags = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_FIXED
	_, err := p.BootCall(p.PID, sys.SYS_MMAP, uint64(AgentBase), vm.PageSize, sys.PROT_READ|sys.PROT_EXEC, flags, ^uint64(0), 0)
	return errors.Join(err, p.Write(AgentBase, stubELF()))
}
