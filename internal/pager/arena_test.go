package pager

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// arena is memory of this process under a userfaultfd. Only system calls may
// touch what can fault: a thread in one holds no P, so that the collector can
// stop the world while it waits.
type arena struct {
	t    *testing.T
	uffd *sys.UFFD
	mem  []byte
	pipe [2]int
	// self is this process as its own guest.
	mapping vm.Mapping
	fd      map[string]int
	onRead  func()
	onZap   func()
	onEnd   func()
	zapped  []uint64
	ended   error
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newArena maps pages of memory: private anonymous, or a memfd's in which a
// page's offset is its address.
func newArena(t *testing.T, pages, memfd int) *arena {
	t.Helper()
	fd, err := sys.CreateUFFD(sys.UFFD_CLOEXEC | sys.UFFD_NONBLOCK)
	if err != nil {
		t.Skipf("no userfaultfd: %v", err)
	}
	a := &arena{t: t, uffd: sys.NewUFFD(fd), fd: map[string]int{}}
	t.Cleanup(func() { a.uffd.Close() })
	_, err = a.uffd.Handshake(sys.UFFD_FEATURE_PAGEFAULT_FLAG_WP | sys.UFFD_FEATURE_THREAD_ID |
		sys.UFFD_FEATURE_MISSING_SHMEM | sys.UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
	if err != nil {
		t.Skipf("no userfaultfd for shared memory: %v", err)
	}
	a.mem, err = sys.Mmap(-1, 0, pages*vm.PageSize, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS)
	check(t, err)
	t.Cleanup(func() { sys.Munmap(a.mem) })
	unix.Madvise(a.mem, unix.MADV_NOHUGEPAGE)
	if memfd >= 0 {
		at := unsafe.Pointer(unsafe.SliceData(a.mem))
		_, err := unix.MmapPtr(memfd, int64(uintptr(at)), at, uintptr(len(a.mem)), sys.PROT_READ|sys.PROT_WRITE,
			sys.MAP_SHARED|sys.MAP_FIXED)
		check(t, err)
	}
	start := vm.Addr(uintptr(unsafe.Pointer(unsafe.SliceData(a.mem))))
	a.mapping = vm.Mapping{Range: vm.Range{Start: start, End: start + vm.Addr(len(a.mem))}, Prot: vm.ProtRead | vm.ProtWrite}
	a.pipe[0], a.pipe[1], err = sys.Pipe(sys.O_CLOEXEC)
	check(t, err)
	t.Cleanup(func() { sys.Close(a.pipe[0]); sys.Close(a.pipe[1]) })
	for name, mode := range map[string]int{"/proc/self/mem": sys.O_RDWR, "/proc/self/pagemap": sys.O_RDONLY} {
		a.fd[name], err = sys.Open(name, mode|sys.O_CLOEXEC, 0)
		check(t, err)
		t.Cleanup(func() { sys.Close(a.fd[name]) })
	}
	return a
}

func (a *arena) page(n int) vm.Page { return a.mapping.Start.Page() + vm.Page(n) }

func (a *arena) run(n, count int) vm.Run { return vm.Run{First: a.page(n), N: uint32(count)} }

// Read, Present, MappingAt, BeginByButler and EndByButler make this process a Guest.
func (a *arena) Read(at vm.Addr, b []byte) error {
	if a.onRead != nil {
		a.onRead()
	}
	n, err := sys.Pread(a.fd["/proc/self/mem"], b, int64(at))
	if err == nil && n < len(b) {
		err = sys.EIO
	}
	return err
}

func (a *arena) Present(r vm.Run, present []bool) error {
	for i := range r.N {
		untouched, err := sys.PagemapUntouched(a.fd["/proc/self/pagemap"], uint64((r.First + vm.Page(i)).Addr()), 1)
		if err != nil {
			return err
		}
		present[i] = !untouched
	}
	return nil
}

func (a *arena) MappingAt(at vm.Addr) (vm.Mapping, bool, error) {
	return a.mapping, a.mapping.Contains(at), nil
}

func (a *arena) BeginByButler(nr uint64, args ...uint64) (guest.Errand, error) {
	if nr != sys.SYS_MADVISE {
		a.t.Fatalf("the butler was asked for call %d", nr)
	}
	if a.onZap != nil {
		a.onZap()
	}
	a.zapped = append(a.zapped, args[0])
	off := args[0] - uint64(a.mapping.Start)
	a.ended = sys.Madvise(a.mem[off:off+args[1]], int(args[2]))
	return guest.Errand(len(a.zapped)), nil
}

func (a *arena) EndByButler(e guest.Errand) (uint64, error) {
	if int(e) != len(a.zapped) {
		a.t.Fatalf("waited for errand %d of %d", e, len(a.zapped))
	}
	if a.onEnd != nil {
		a.onEnd()
	}
	return 0, a.ended
}

// isPresent tells whether the kernel holds something for page n.
func (a *arena) isPresent(n int) bool {
	a.t.Helper()
	var p [1]bool
	check(a.t, a.Present(a.run(n, 1), p[:]))
	return p[0]
}

// load has the kernel read the first byte of page n in a thread of its own.
func (a *arena) load(n int) <-chan error {
	return inThread(func() error { _, err := unix.Write(a.pipe[1], a.mem[n*vm.PageSize:][:1]); return err })
}

// store has the kernel write byte c there.
func (a *arena) store(n int, c byte) <-chan error {
	r, w, err := sys.Pipe(sys.O_CLOEXEC)
	check(a.t, err)
	_, err = unix.Write(w, []byte{c})
	check(a.t, err)
	return inThread(func() error {
		_, err := unix.Read(r, a.mem[n*vm.PageSize:][:1])
		sys.Close(r)
		sys.Close(w)
		return err
	})
}

func inThread(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c <- f()
	}()
	return c
}

// loaded is what load read.
func (a *arena) loaded(done <-chan error) byte {
	a.t.Helper()
	check(a.t, <-done)
	var b [1]byte
	_, err := unix.Read(a.pipe[0], b[:])
	check(a.t, err)
	return b[0]
}

// faultOf waits until done's thread either faults or ends; it must fault.
func (a *arena) faultOf(done <-chan error) sys.Fault {
	a.t.Helper()
	var buf [1]sys.Fault
	for {
		if n, _ := a.uffd.ReadFaults(buf[:]); n > 0 {
			return buf[0]
		}
		select {
		case err := <-done:
			a.t.Fatalf("memory was touched without a fault (%v)", err)
		default:
			runtime.Gosched()
		}
	}
}

func addressOf(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
