package carry

import (
	"errors"
	"fmt"
	"os"
	"time"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Build is what a program is rebuilt with.
type Build struct {
	Tracer *guest.Tracer
	// Stub is how the process is started that becomes the program; its first
	// three files become the program's standard streams.
	Stub sys.SpawnAttr
	// Numbers are popcorn's own calls, for the filter a program has from the start.
	Numbers []int
	// Made is told the process as soon as there is one, to be ended should popcorn
	// be.
	Made func(*guest.Process)
}

// stubPatience is how long the end of a process of ours may take.
const stubPatience = 2 * time.Second

// Rebuild makes the image's program anew: its process, stopped, and its threads.
//
// Where its process ids are taken, or there is no right to choose them, it gets a
// namespace for them; TIDs then tells ours.
func (s *Source) Rebuild(b Build) (*Rebuilt, error) {
	proc, w, err := s.twin(b)
	if err != nil {
		return nil, err
	}
	b.Made(proc)
	r := &rebuilder{Source: s, proc: proc, p: &s.Image.Process, out: &Rebuilt{Proc: proc, TIDs: []int{proc.PID}, Confined: w != outside}, world: w}
	if w != outside {
		if err := proc.OwnProc(); err != nil {
			return r.out, err
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"empty process", r.empty}, {"make shared memory", r.objects}, {"map memory", r.mapAll}, {"fill memory", r.fill},
		{"finish memory", r.finishMemory}, {"open files", r.files}, {"set process up", r.process}, {"make threads", r.threads},
		{"set limits", r.limits},
	} {
		if err := step.do(); err != nil {
			return r.out, fmt.Errorf("restore %s: %s: %w", s.path, step.what, err)
		}
	}
	return r.out, nil
}

// Rebuilt is a program made anew.
type Rebuilt struct {
	Proc *guest.Process
	// TIDs are its threads in the image's order.
	TIDs []int
	// Confined: it has a pid namespace of its own, in which its ids are the image's.
	Confined bool
}

// twin starts the process with the image's process id: a stub, under our filter,
// forks it and goes.
func (s *Source) twin(b Build) (proc *guest.Process, w world, err error) {
	stub, err := guest.Start(b.Tracer, b.Stub)
	if err != nil {
		return nil, outside, err
	}
	proc, w, err = s.fork(stub, b.Numbers)
	err = errors.Join(err, stub.End(stubPatience))
	stub.Close()
	if err != nil && proc != nil {
		proc.Kill()
		proc = nil
	}
	return proc, w, err
}

func (s *Source) fork(stub *guest.Process, numbers []int) (*guest.Process, world, error) {
	if err := stub.ConfineAtRest(numbers); err != nil {
		return nil, outside, err
	}
	if err := stub.MapTable(); err != nil {
		return nil, outside, err
	}
	want := s.Image.Process.PID
	var why error
	if taken := s.taken(); taken != 0 {
		why = fmt.Errorf("%w: %d lives; end it", ErrTaken, taken)
	} else {
		proc, err := stub.Twin(want)
		if !errors.Is(err, sys.EPERM) {
			return proc, outside, err
		}
		why = fmt.Errorf("choose the process id %d (it takes root's rights, or CAP_CHECKPOINT_RESTORE): %w", want, err)
	}
	world := inPIDs
	err := stub.Confine(false)
	if errors.Is(err, sys.EPERM) {
		world = asUser
		err = stub.Confine(true)
	}
	if err != nil {
		return nil, outside, errors.Join(why, err)
	}
	proc, err := stub.Twin(want)
	return proc, world, err
}

// world is where a program was restored.
type world uint8

const (
	outside world = iota // among all others
	inPIDs               // in a pid namespace
	asUser               // in a user namespace too, for want of rights
)

// taken is a process or thread that has an id of the image; 0 for none.
func (s *Source) taken() int {
	for _, t := range s.Image.Threads {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", t.TID)); err == nil {
			return t.TID
		}
	}
	return 0
}

// rebuilder is the work on one process.
type rebuilder struct {
	*Source
	proc    *guest.Process
	p       *image.Process
	out     *Rebuilt
	world   world
	scratch guest.Scratch
	// base is where descriptors wait until they get their numbers: those of files,
	// then those of objects.
	base int
}

func (r *rebuilder) call(nr uint64, args ...uint64) (uint64, error) {
	return r.proc.Call(r.proc.PID, nr, args...)
}

// empty clears the address space and puts what is the kernel's where it was.
func (r *rebuilder) empty() error {
	if err := r.proc.Detached(); err != nil {
		return err
	}
	want := map[string]vm.Range{}
	for _, m := range r.p.Mappings {
		if m.Kind == image.OfKernel {
			want[m.Name] = vm.Range{Start: vm.Addr(m.Start), End: vm.Addr(m.End)}
		}
	}
	if err := r.proc.Emptied(r.p.VDSO, want); err != nil {
		return err
	}
	var err error
	r.scratch, err = r.proc.MapScratch(r.proc.PID)
	if err != nil {
		return err
	}
	return r.chooseBase()
}

// chooseBase finds numbers that no descriptor of the program has, and raises the
// limit for them.
func (r *rebuilder) chooseBase() error {
	const nofile = 7 // RLIMIT_NOFILE
	r.base = 64
	for _, n := range r.p.FDs {
		r.base = max(r.base, n.FD+1)
	}
	need := uint64(r.base + len(r.p.Files) + len(r.p.Objects) + 8)
	l, err := sys.GetLimit(r.proc.PID, nofile)
	if err != nil || l.Soft >= need {
		return err
	}
	if err := sys.SetLimit(r.proc.PID, nofile, sys.Limit{Soft: need, Max: max(need, l.Max)}); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", need, err)
	}
	return nil
}

// path passes a string to the program.
func (r *rebuilder) path(name string) (uint64, error) { return r.scratch.Put(append([]byte(name), 0)) }

// open opens a file in the program.
func (r *rebuilder) open(path string, flags int) (uint64, error) {
	const cwd = ^uint64(99) // AT_FDCWD
	at, err := r.path(path)
	if err != nil {
		return 0, err
	}
	fd, err := r.call(sys.SYS_OPENAT, cwd, at, uint64(flags), 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	return fd, nil
}

// moved gives descriptor fd of the program the number to.
func (r *rebuilder) moved(fd uint64, to int) error {
	if _, err := r.call(sys.SYS_DUP3, fd, uint64(to), sys.O_CLOEXEC); err != nil {
		return err
	}
	_, err := r.call(sys.SYS_CLOSE, fd)
	return err
}

// objects makes the memory that mappings and descriptors share.
func (r *rebuilder) objects() error {
	for i, o := range r.p.Objects {
		name := o.Name
		if name == "" {
			name = "shared"
		}
		at, err := r.path(name)
		if err != nil {
			return err
		}
		fd, err := r.call(sys.SYS_MEMFD_CREATE, at, sys.MFD_CLOEXEC|sys.MFD_ALLOW_SEALING)
		if err == nil {
			_, err = r.call(sys.SYS_FTRUNCATE, fd, o.Size)
		}
		if err == nil {
			err = r.moved(fd, r.objectFD(i))
		}
		if err == nil && o.Blob > 0 {
			err = r.fillFile(r.objectFD(i), o.Blob)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuilder) objectFD(i int) int { return r.base + len(r.p.Files) + i }

// fillFile writes a blob to a descriptor of the program.
func (r *rebuilder) fillFile(fd, blob int) error {
	i := r.Image.Blob(blob)
	if i < 0 {
		return fmt.Errorf("content %d of a file: %w", blob, image.ErrDamaged)
	}
	ours, err := r.theirs(fd, sys.O_WRONLY)
	if err != nil {
		return err
	}
	defer sys.Close(ours)
	return r.segment(i, func(at uint64, b []byte) error { return writeAll(ours, b, int64(at)) })
}

// theirs opens what a descriptor of the program refers to.
func (r *rebuilder) theirs(fd, flags int) (int, error) {
	return sys.Open(fmt.Sprintf("/proc/%d/fd/%d", r.proc.PID, fd), flags|sys.O_CLOEXEC, 0)
}

// mapAll makes the mappings, with their protections.
func (r *rebuilder) mapAll() error {
	var calls []guest.Entry
	flush := func() error {
		n, err := r.proc.Batch(r.proc.PID, calls)
		if err != nil {
			a := calls[n].Args
			return fmt.Errorf("%#x-%#x: %w", a[0], a[0]+a[1], err)
		}
		calls = calls[:0]
		return nil
	}
	for i := range r.p.Mappings {
		m := &r.p.Mappings[i]
		switch m.Kind {
		case image.OfKernel:
		case image.OfFile:
			if err := errors.Join(flush(), r.mapFile(m)); err != nil {
				return err
			}
		case image.OfObject:
			calls = append(calls, mmap(m, sys.MAP_SHARED, uint64(r.objectFD(m.Object))))
		default:
			flags := uint64(sys.MAP_PRIVATE | sys.MAP_ANONYMOUS)
			if m.GrowsDown {
				flags |= sys.MAP_GROWSDOWN
			}
			calls = append(calls, mmap(m, flags, ^uint64(0)))
		}
	}
	return flush()
}

func mmap(m *image.Mapping, flags, fd uint64) guest.Entry {
	if m.NoReserve {
		flags |= sys.MAP_NORESERVE
	}
	return guest.Entry{Nr: sys.SYS_MMAP, Args: [6]uint64{m.Start, m.End - m.Start, m.Prot, flags | sys.MAP_FIXED_NOREPLACE, fd, m.Offset}}
}

func (r *rebuilder) mapFile(m *image.Mapping) error {
	how, flags := sys.O_RDONLY, uint64(sys.MAP_PRIVATE)
	if m.Shared {
		flags = sys.MAP_SHARED
	}
	if m.Writable {
		how = sys.O_RDWR
	}
	fd, err := r.open(m.File.Path, how)
	if err != nil {
		return err
	}
	e := mmap(m, flags, fd)
	if _, err := r.call(e.Nr, e.Args[:]...); err != nil {
		return fmt.Errorf("map %s: %w", m.File.Path, err)
	}
	_, err = r.call(sys.SYS_CLOSE, fd)
	return err
}

// fill loads the memory. Segments come in the order of addresses, as mappings do.
func (r *rebuilder) fill() error {
	ours := make([]int, len(r.p.Objects))
	for i := range ours {
		fd, err := r.theirs(r.objectFD(i), sys.O_WRONLY)
		if err != nil {
			return err
		}
		defer sys.Close(fd)
		ours[i] = fd
	}
	for i, s := range r.Image.Segments {
		if s.Blob || s.Shown || s.Filesz == 0 {
			if err := r.segment(i, func(uint64, []byte) error { return nil }); err != nil { // checked all the same
				return err
			}
			continue
		}
		m := r.mapping(s.Start)
		if m == nil || s.Start+s.Filesz > m.End {
			return fmt.Errorf("memory at %#x belongs to no mapping: %w", s.Start, image.ErrDamaged)
		}
		put := func(at uint64, b []byte) error { return r.proc.Write(vm.Addr(s.Start+at), b) }
		if m.Kind == image.OfObject {
			put = func(at uint64, b []byte) error {
				if r.p.Objects[m.Object].Blob > 0 {
					return nil
				}
				return writeAll(ours[m.Object], b, int64(m.Offset+s.Start-m.Start+at))
			}
		}
		if err := r.segment(i, put); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuilder) mapping(at uint64) *image.Mapping {
	for i := range r.p.Mappings {
		if m := &r.p.Mappings[i]; at >= m.Start && at < m.End {
			return m
		}
	}
	return nil
}

// finishMemory gives mappings what their content had to be there for.
func (r *rebuilder) finishMemory() error {
	for i := range r.p.Mappings {
		m := &r.p.Mappings[i]
		if err := r.finishMapping(m); err != nil {
			return fmt.Errorf("%#x-%#x: %w", m.Start, m.End, err)
		}
	}
	const addSeals = 1033 // F_ADD_SEALS
	for i, o := range r.p.Objects {
		if o.Name == "" || o.Seals == 0 {
			continue
		}
		if _, err := r.call(sys.SYS_FCNTL, uint64(r.objectFD(i)), addSeals, uint64(o.Seals)); err != nil {
			return fmt.Errorf("seal %s: %w", o.Name, err)
		}
	}
	return nil
}

func (r *rebuilder) finishMapping(m *image.Mapping) error {
	const sysMlock = 149
	size := m.End - m.Start
	for _, a := range m.Advice {
		// What this kernel cannot do is no loss but of speed, except for children.
		if _, err := r.call(sys.SYS_MADVISE, m.Start, size, uint64(a)); err != nil && (a == sys.MADV_DONTFORK || a == sys.MADV_WIPEONFORK) {
			return err
		}
	}
	for _, g := range m.Guards {
		if _, err := r.call(sys.SYS_MADVISE, g.Start, g.End-g.Start, guardInstall); err != nil {
			return fmt.Errorf("install guard: %w", err)
		}
	}
	if m.Locked {
		if _, err := r.call(sysMlock, m.Start, size); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
	}
	if m.Name == "" || m.Kind != image.Anonymous {
		return nil
	}
	at, err := r.path(m.Name)
	if err == nil {
		r.call(sys.SYS_PRCTL, prSetVMA, 0, m.Start, size, at) // names are for people
	}
	return err
}

const guardInstall = 102 // MADV_GUARD_INSTALL, linux/mman.h
