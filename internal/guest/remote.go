package guest

import (
	"bytes"
	"fmt"

	"golang.org/x/net/bpf"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

type filter = []bpf.RawInstruction

// Remote is a stub process made ready for guest threads: an address space that
// is empty but for the agent and a vDSO at the origin's addresses, memory
// from one memfd in which a page's offset is its address, and a nursery thread
// from which all guest threads are cloned, so that they inherit its filter.
//
// The stub's first thread has no filter. It never runs freely: it stands in a
// ptrace-stop but for the calls injected here, and takes nothing from memory
// that a guest thread could write.
type Remote struct {
	*Process
	Memory   int // memfd
	UFFD     *sys.UFFD
	Listener int
	// Foreign: the origin has another kernel or other clocks.
	Foreign bool
	nursery int
}

// memoryFD is the memfd's descriptor in the stub.
const memoryFD = 3

// remoteFaults: as userFaults, and write protection of shared memory.
const remoteFaults = userFaults | sys.UFFD_FEATURE_MISSING_SHMEM | sys.UFFD_FEATURE_WP_HUGETLBFS_SHMEM

// StartRemote starts a stub for a program of the machine origin, where it has
// the mappings home: what belongs to the vDSO is placed as there.
func StartRemote(t *Tracer, classes RemoteClasses, home []vm.Mapping, origin Machine) (r *Remote, err error) {
	r = &Remote{Memory: -1, Listener: -1}
	defer func() {
		if err != nil {
			r.Close()
			r = nil
		}
	}()
	if r.Memory, err = sys.Memfd("popcorn-memory", 0); err != nil {
		return r, fmt.Errorf("make guest memory: %w", err)
	}
	if err = sys.Ftruncate(r.Memory, 1<<47); err != nil {
		return r, fmt.Errorf("size guest memory: %w", err)
	}
	if err = r.start(t); err != nil {
		return r, err
	}
	if r.Foreign, err = r.foreignTo(origin); err != nil {
		return r, err
	}
	if err = r.clear(home, origin); err != nil {
		return r, err
	}
	var fd int
	if r.UFFD, fd, err = r.openUFFD(r.PID, remoteFaults); err != nil {
		return r, err
	}
	if _, err = r.Call(r.PID, sys.SYS_CLOSE, uint64(fd)); err != nil {
		return r, err
	}
	if err = r.cover(); err != nil {
		return r, err
	}
	err = r.startNursery(classes)
	return r, err
}

func (r *Remote) start(t *Tracer) error {
	null, err := sys.Open("/dev/null", sys.O_RDWR|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	defer sys.Close(null)
	r.Process, err = Start(t, sys.SpawnAttr{
		Argv: []string{"popcorn-stub"}, Dir: "/", Files: []int{null, null, null, r.Memory}, Pgid: -1,
		Pdeathsig: sys.SIGKILL,
	})
	return err
}

// Close releases everything but the process itself, which must be dead or dying.
func (r *Remote) Close() {
	if r.Process != nil {
		r.Kill()
		r.Process.Close()
	}
	if r.UFFD != nil {
		r.UFFD.Close()
		r.UFFD = nil
	}
	for _, fd := range []*int{&r.Memory, &r.Listener} {
		if *fd >= 0 {
			sys.Close(*fd)
			*fd = -1
		}
	}
}

// foreignTo tells whether what the kernel here maps into a program is not what it
// finds at the origin: other code, or clocks that show another time.
func (r *Remote) foreignTo(origin Machine) (bool, error) {
	image, _, err := r.VDSO()
	if err != nil {
		return false, err
	}
	clocks, err := ReadClocks(r.PID)
	return !bytes.Equal(image, origin.VDSO) || !origin.Clocks.Same(clocks), err
}

// clear maps the batch table, removes the stub's own stack and moves the
// kernel's mappings to the origin's addresses. In a foreign process the origin's
// vDSO takes their place, changed; the clock pages it had read are out of reach.
func (r *Remote) clear(home []vm.Mapping, origin Machine) error {
	t := tableMapping()
	if _, err := r.Call(r.PID, t.Nr, t.Args[:]...); err != nil {
		return fmt.Errorf("map agent table: %w", err)
	}
	own, err := r.Mappings()
	if err != nil {
		return err
	}
	want := map[string]vm.Range{}
	for _, m := range home {
		if m.Kind == vm.Local {
			want[m.Name] = m.Range
		}
	}
	vdso := want[vdsoName]
	if r.Foreign {
		want = nil
	}
	var stage, place []Entry
	at := StageBase
	for _, m := range own {
		switch to, known := want[m.Name]; {
		case m.Name == "[vsyscall]", m.Range.Overlaps(AgentRange()):
		case m.Kind == vm.Local && known && to.Size() == m.Size():
			stage = append(stage, move(m.Range, at))
			place = append(place, move(vm.Range{Start: at, End: at + vm.Addr(m.Size())}, to.Start))
			at += vm.Addr(m.Size())
		default:
			stage = append(stage, unmap(m.Range))
		}
	}
	if _, err := r.Batch(r.PID, append(stage, place...)); err != nil {
		return fmt.Errorf("lay out stub: %w", err)
	}
	if r.Foreign && len(origin.VDSO) > 0 {
		return r.placeVDSO(origin.VDSO, vdso)
	}
	return nil
}

func move(from vm.Range, to vm.Addr) Entry {
	const mayMoveFixed = 3 // MREMAP_MAYMOVE | MREMAP_FIXED
	return Entry{sys.SYS_MREMAP, [6]uint64{uint64(from.Start), from.Size(), from.Size(), mayMoveFixed, uint64(to)}}
}

func unmap(r vm.Range) Entry {
	return Entry{sys.SYS_MUNMAP, [6]uint64{uint64(r.Start), r.Size()}}
}

func (r *Remote) startNursery(classes RemoteClasses) error {
	prog, err := remoteFilter(classes)
	if err != nil {
		return err
	}
	if r.nursery, err = r.NewThread(r.PID); err != nil {
		return err
	}
	if r.Foreign {
		if err := r.withoutTSC(r.nursery); err != nil {
			return err
		}
	}
	var fd int
	if r.Listener, fd, err = r.listen(r.nursery, prog, 0); err != nil {
		return err
	}
	_, err = r.Call(r.PID, sys.SYS_CLOSE, uint64(fd)) // the nursery may not any more
	return err
}

// Spawn makes a new guest thread, stopped, under the filter.
func (r *Remote) Spawn() (int, error) {
	tid, err := r.NewThread(r.nursery)
	if err != nil {
		return 0, err
	}
	// Signals concern the origin's threads; what a thread here causes itself
	// (SIGSEGV ...) must stay visible to us.
	const synchronous = 1<<(4-1) | 1<<(5-1) | 1<<(7-1) | 1<<(8-1) | 1<<(11-1) | 1<<(31-1)
	return tid, sys.SetSigMask(tid, allSignals&^synchronous)
}

// Own tells whether tid is a thread of ours that is no guest's.
func (r *Remote) Own(tid int) bool { return tid == r.PID || tid == r.nursery }

// Lowest is where a guest's memory begins here: below it an ordinary kernel maps
// nothing (vm.mmap_min_addr).
const Lowest vm.Addr = 0x10000

// highest is the end of the address space of a process (TASK_SIZE_MAX).
const highest vm.Addr = 1<<47 - vm.PageSize

// cover maps the memfd over all addresses that are free, out of reach and under
// the userfaultfd. What is mapped later only gets its protection: were it mapped
// first and put under the userfaultfd then, a thread in between would be given
// a page by the kernel, and the write-protection of pages would end with a mapping.
func (r *Remote) cover() error {
	own, err := r.Mappings()
	if err != nil {
		return err
	}
	var taken vm.Set
	for _, m := range own {
		taken.Insert(m)
	}
	taken.Insert(vm.Mapping{Range: AgentRange()})
	gaps := taken.Gaps(vm.Range{Start: Lowest, End: highest})
	calls := make([]Entry, len(gaps))
	for i, g := range gaps {
		calls[i] = Entry{sys.SYS_MMAP, [6]uint64{uint64(g.Start), g.Size(), 0,
			sys.MAP_SHARED | sys.MAP_FIXED_NOREPLACE | sys.MAP_NORESERVE, memoryFD, uint64(g.Start)}}
	}
	if n, err := r.Batch(r.PID, calls); err != nil {
		return fmt.Errorf("map %v at remote: %w", gaps[n], err)
	}
	for _, g := range gaps {
		if _, err := r.UFFD.Register(uint64(g.Start), g.Size(), sys.RegisterModeMissing|sys.RegisterModeWP); err != nil {
			return fmt.Errorf("register %v with userfaultfd: %w", g, err)
		}
	}
	return nil
}

// Protect gives ranges their protections; 0 puts them out of reach.
func (r *Remote) Protect(ms []vm.Mapping) error {
	calls := make([]Entry, len(ms))
	for i, m := range ms {
		calls[i] = Entry{sys.SYS_MPROTECT, [6]uint64{uint64(m.Start), m.Size(), KernelProt(m.Prot)}}
	}
	if n, err := r.Batch(r.PID, calls); err != nil {
		return fmt.Errorf("protect %v at remote: %w", ms[n].Range, err)
	}
	return nil
}
