package sys

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// arena is registered memory of this process. Only system calls may touch what
// is missing: a thread in one holds no P, so that the collector can stop the
// world while it waits.
type arena struct {
	t    *testing.T
	u    *UFFD
	mem  []byte
	addr uint64
	pipe [2]int
	zero int
}

const pageMode = RegisterModeMissing | RegisterModeWP

func newArena(t *testing.T, fd, pages int, features, mode uint64) *arena {
	t.Helper()
	u, err := anyUFFD(UFFD_CLOEXEC)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { u.Close() })
	if _, err := u.Handshake(features); err != nil {
		t.Skipf("features %#x: %v", features, err)
	}
	flags := MAP_PRIVATE | MAP_ANONYMOUS
	if fd >= 0 {
		flags = MAP_SHARED
	}
	a := &arena{t: t, u: u}
	a.mem, err = Mmap(fd, 0, pages*PageSize, PROT_READ|PROT_WRITE, flags)
	check(t, err)
	t.Cleanup(func() { check(t, Munmap(a.mem)) })
	a.addr = addrOf(a.mem)
	_, err = u.Register(a.addr, uint64(len(a.mem)), mode)
	check(t, err)
	a.pipe[0], a.pipe[1], err = Pipe(O_CLOEXEC)
	check(t, err)
	a.zero, err = Open("/dev/zero", O_RDONLY|O_CLOEXEC, 0)
	check(t, err)
	t.Cleanup(func() { Close(a.pipe[0]); Close(a.pipe[1]); Close(a.zero) })
	return a
}

// touched is how a system call on a page ended, and in which thread it was.
type touched struct {
	tid int
	err error
}

// read has the kernel read the page's first 8 bytes, into the pipe.
func (a *arena) read(page int) <-chan touched {
	return a.touch(func() error { _, err := Write(a.pipe[1], a.mem[page*PageSize:][:8]); return err })
}

// write has the kernel write zeros there.
func (a *arena) write(page int) <-chan touched {
	return a.touch(func() error { _, err := Read(a.zero, a.mem[page*PageSize:][:8]); return err })
}

func (a *arena) touch(f func() error) <-chan touched {
	c := make(chan touched, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c <- touched{Gettid(), f()}
	}()
	return c
}

// fault waits for one.
func (a *arena) fault() Fault {
	a.t.Helper()
	var buf [4]Fault
	for {
		n, err := a.u.ReadFaults(buf[:])
		check(a.t, err)
		if n > 0 {
			return buf[0]
		}
	}
}

func (a *arena) page(n int) uint64 { return a.addr + uint64(n)*PageSize }

// piped is what read had the kernel put into the pipe.
func (a *arena) piped() []byte {
	a.t.Helper()
	b := make([]byte, 8)
	_, err := Read(a.pipe[0], b)
	check(a.t, err)
	return b
}

func TestMissingFaultIsAnsweredByCopy(t *testing.T) {
	a := newArena(t, -1, 4, UFFD_FEATURE_THREAD_ID, pageMode)
	done := a.read(2)
	f := a.fault()
	if f.Addr != a.page(2) || f.Write || f.WP || f.Minor {
		t.Errorf("fault %+v, want a read at %#x", f, a.page(2))
	}
	page := bytes.Repeat([]byte("popcorn!"), PageSize/8)
	n, err := a.u.Copy(a.page(2), page, false)
	if n != PageSize || err != nil {
		t.Errorf("copied %d, %v", n, err)
	}
	end := <-done
	check(t, end.err)
	if end.tid != f.TID {
		t.Errorf("fault of thread %d reported for %d", end.tid, f.TID)
	}
	if got := a.piped(); !bytes.Equal(got, page[:8]) {
		t.Errorf("read %q", got)
	}
	if n, err := a.u.Copy(a.page(2), page, false); n != 0 || err != EEXIST {
		t.Errorf("copy over a page: %d, %v", n, err)
	}
	if _, err := a.u.Copy(a.page(1), append(page, page...), false); err != EAGAIN && err != EEXIST {
		t.Errorf("copy that meets a page: %v", err)
	}
}

func TestWriteProtectedPageFaultsOnWrite(t *testing.T) {
	a := newArena(t, -1, 2, UFFD_FEATURE_PAGEFAULT_FLAG_WP, pageMode)
	page := bytes.Repeat([]byte{7}, PageSize)
	_, err := a.u.Copy(a.page(0), page, true)
	check(t, err)
	check(t, (<-a.read(0)).err) // reading is allowed
	a.piped()
	for range 2 { // protected by Copy, then by WriteProtect
		done := a.write(0)
		if f := a.fault(); !f.WP || !f.Write || f.Addr != a.page(0) {
			t.Errorf("fault %+v", f)
		}
		if a.mem[0] != 7 {
			t.Error("written under protection")
		}
		check(t, a.u.WriteProtect(a.page(0), PageSize, false))
		check(t, (<-done).err)
		if a.mem[0] != 0 {
			t.Error("not written after all")
		}
		a.mem[0] = 7
		check(t, a.u.WriteProtect(a.page(0), PageSize, true))
	}
}

func TestZeroPageWakesItsWaiter(t *testing.T) {
	a := newArena(t, -1, 2, 0, RegisterModeMissing)
	done := a.write(1)
	if f := a.fault(); !f.Write || f.WP {
		t.Errorf("fault %+v", f)
	}
	check(t, a.u.ZeroPage(a.page(1), PageSize))
	check(t, (<-done).err)
	if n, err := a.u.ZeroRange(a.page(0), 2*PageSize); n != PageSize || err != EAGAIN {
		t.Errorf("zeroed %d, %v; want the first page and EAGAIN", n, err)
	}
}

func TestCopyNoWakeNeedsWake(t *testing.T) {
	a := newArena(t, -1, 1, 0, RegisterModeMissing)
	done := a.read(0)
	a.fault()
	_, err := a.u.CopyNoWake(a.page(0), make([]byte, PageSize), false)
	check(t, err)
	select {
	case <-done:
		t.Error("the waiter went on unwoken")
	default:
	}
	check(t, a.u.Wake(a.page(0), PageSize))
	check(t, (<-done).err)
}

func TestUnregisterLetsWaitersGo(t *testing.T) {
	a := newArena(t, -1, 1, 0, RegisterModeMissing)
	done := a.read(0)
	a.fault()
	check(t, a.u.Unregister(a.addr, PageSize))
	check(t, (<-done).err)
	if got := a.piped(); !bytes.Equal(got, make([]byte, 8)) {
		t.Errorf("read %x", got)
	}
}

func TestPoisonedPageIsRefused(t *testing.T) {
	a := newArena(t, -1, 1, UFFD_FEATURE_POISON, RegisterModeMissing)
	done := a.read(0)
	a.fault()
	check(t, a.u.Poison(a.page(0), PageSize))
	if end := <-done; end.err != EFAULT {
		t.Errorf("system call on poison: %v", end.err)
	}
}

func TestMinorFaultIsContinued(t *testing.T) {
	fd := newMemfd(t, 2*PageSize)
	_, err := Pwrite(fd, []byte("in cache"), PageSize)
	check(t, err)
	a := newArena(t, fd, 2, UFFD_FEATURE_MINOR_SHMEM, RegisterModeMinor)
	done := a.read(1)
	if f := a.fault(); !f.Minor || f.Addr != a.page(1) {
		t.Errorf("fault %+v", f)
	}
	check(t, a.u.Continue(a.page(1), PageSize))
	check(t, (<-done).err)
	if got := a.piped(); string(got) != "in cache" {
		t.Errorf("read %q", got)
	}
}

func TestPunchedPageOfMemfdFaultsAgain(t *testing.T) {
	fd := newMemfd(t, PageSize)
	a := newArena(t, fd, 1, UFFD_FEATURE_MISSING_SHMEM|UFFD_FEATURE_WP_HUGETLBFS_SHMEM, pageMode)
	page := bytes.Repeat([]byte{1}, PageSize)
	_, err := a.u.Copy(a.addr, page, false)
	check(t, err)
	check(t, a.u.WriteProtect(a.addr, PageSize, true))
	check(t, PunchHole(fd, 0, PageSize))
	done := a.read(0)
	if f := a.fault(); f.WP || f.Minor {
		t.Errorf("fault %+v, want a missing page", f)
	}
	_, err = a.u.Copy(a.addr, page, false)
	check(t, err)
	check(t, (<-done).err)
}

func TestErrorsKeepTheirNumber(t *testing.T) {
	a := newArena(t, -1, 1, 0, RegisterModeMissing)
	if _, err := a.u.Register(a.addr+1, PageSize, RegisterModeMissing); err != EINVAL {
		t.Errorf("register what is no page: %v", err)
	}
	if err := a.u.Wake(a.addr, 1); err != EINVAL {
		t.Errorf("wake less than a page: %v", err)
	}
	if _, err := a.u.Copy(0x10000, make([]byte, PageSize), false); err != ENOENT {
		t.Errorf("copy to nowhere: %v", err)
	}
	if _, err := a.u.Handshake(0); err == nil {
		t.Error("a second handshake was taken")
	}
}

func init() { children["userfaultfd"] = userfaultfdChild }

// userfaultfdChild tells its userfaultfd, and the address of memory that is not
// registered yet.
func userfaultfdChild() int {
	u, err := anyUFFD(UFFD_CLOEXEC)
	if err == nil {
		_, err = u.Handshake(0)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	mem, err := Mmap(-1, 0, PageSize, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS)
	if err != nil {
		return 1
	}
	fmt.Println(u.FD(), addrOf(mem))
	os.Stdin.Read(make([]byte, 1))
	return 0
}

// A process that dies is told from one that is short of memory, for which the
// kernel has one error here.
func TestRegisterOfAProcessThatIsGone(t *testing.T) {
	cmd := childCmd(t, "userfaultfd")
	in, err := cmd.StdinPipe()
	check(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	var target int
	var addr uint64
	if _, err := fmt.Fscan(out, &target, &addr); err != nil {
		cmd.Wait()
		t.Skip("the child has no userfaultfd")
	}
	pidfd, err := PidfdOpen(cmd.Process.Pid, 0)
	check(t, err)
	defer Close(pidfd)
	fd, err := PidfdGetfd(pidfd, target)
	check(t, err)
	u := NewUFFD(fd)
	defer u.Close()
	if u.processGone() {
		t.Error("gone while it runs")
	}
	_, err = u.Register(addr, PageSize, RegisterModeMissing)
	check(t, err)
	check(t, cmd.Process.Kill())
	cmd.Wait() // it was killed
	if _, err := u.Register(addr, PageSize, RegisterModeMissing); err != ESRCH {
		t.Errorf("register for the dead: %v", err)
	}
	if err := u.Unregister(addr, PageSize); err != ESRCH {
		t.Errorf("unregister for the dead: %v", err)
	}
}

// The fault path must not feed the collector.
func TestFaultPathDoesNotAllocate(t *testing.T) {
	a := newArena(t, -1, 1, 0, RegisterModeMissing)
	check(t, SetNonblock(a.u.FD(), true))
	buf, page := make([]Fault, 8), make([]byte, PageSize)
	n := testing.AllocsPerRun(100, func() {
		if _, err := a.u.ReadFaults(buf); err != EAGAIN {
			t.Fatal(err)
		}
		a.u.Copy(a.addr, page, false)
		a.u.Wake(a.addr, PageSize)
	})
	if n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

func TestOpenDevUFFD(t *testing.T) {
	if _, err := os.Stat(DevUFFD); err != nil {
		t.Skip(err)
	}
	fd, err := OpenDevUFFD(UFFD_CLOEXEC)
	if err != nil {
		t.Skip(err)
	}
	u := NewUFFD(fd)
	features, err := u.Handshake(0)
	check(t, err)
	if features&UFFD_FEATURE_MISSING_SHMEM == 0 {
		t.Errorf("features %#x", features)
	}
	check(t, u.Close())
}

func newMemfd(t *testing.T, size int64) int {
	t.Helper()
	fd, err := Memfd("test", 0)
	check(t, err)
	t.Cleanup(func() { Close(fd) })
	check(t, Ftruncate(fd, size))
	return fd
}
