package sys

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// minKernel is the oldest version that is tested.
const minKernel = "6.1"

// KernelVersion is the running kernel's, as uname(2) tells it: "6.18.44-x" is 6, 18.
func KernelVersion() (major, minor int) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0, 0
	}
	return parseVersion(unix.ByteSliceToString(u.Release[:]))
}

func parseVersion(s string) (major, minor int) {
	fmt.Sscanf(s, "%d.%d", &major, &minor) // what is missing stays 0
	return major, minor
}

func kernelAtLeast(version string) bool {
	major, minor := KernelVersion()
	wantMajor, wantMinor := parseVersion(version)
	return major > wantMajor || major == wantMajor && minor >= wantMinor
}

func testKernel() error {
	if !kernelAtLeast(minKernel) {
		return ENOSYS
	}
	return nil
}

func testProc() error {
	for _, name := range []string{"mem", "maps", "pagemap"} {
		fd, err := Open("/proc/self/"+name, O_RDONLY|O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		Close(fd)
	}
	return nil
}

// anyUFFD makes a userfaultfd in the way this process may.
func anyUFFD(flags int) (*UFFD, error) {
	fd, err := CreateUFFD(flags)
	if err == EPERM {
		var devErr error
		if fd, devErr = OpenDevUFFD(flags); devErr == nil {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return NewUFFD(fd), nil
}

// uffdHas makes a test for features; the kernel refuses what it does not know.
func uffdHas(features uint64) func() error {
	return func() error {
		u, err := anyUFFD(UFFD_CLOEXEC | UFFD_NONBLOCK)
		if err != nil {
			return err
		}
		defer u.Close()
		_, err = u.Handshake(features)
		return err
	}
}

// testPtrace seizes a process that cannot be: pids end at 1<<22. A filter's
// refusal comes before the kernel looks for it.
func testPtrace() error {
	const nobody = 1<<22 + 1
	if err := Seize(nobody, 0); err != ESRCH {
		return err
	}
	b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil { // no Yama, no restriction
		return nil
	}
	scope, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	if scope == 3 || scope == 2 && !hasCap(unix.CAP_SYS_PTRACE) {
		return EPERM
	}
	return nil
}

// hasCap tells whether this process has the capability in effect.
func hasCap(n uint) bool {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), "\nCapEff:\t")
	hex, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(hex, 16, 64)
	return err == nil && caps>>n&1 == 1
}

func flagsKnown(flags int) func() error {
	return func() error { return seccompFlagsKnown(flags) }
}

func testListener() error {
	if err := seccompActionAvail(SECCOMP_RET_USER_NOTIF); err != nil {
		return err
	}
	return withListener(func(int) error { return nil })
}

func testSyncWakeup() error { return withListener(NotifSyncWakeup) }

// withListener installs a filter that allows everything, with a listener, on a
// thread that ends afterwards: a filter cannot be taken back. That leads f to
// the errors a guest would meet, such as EBUSY under another's listener.
func withListener(f func(fd int) error) error {
	return onDoomedThread(func() error { return useListener(f) })
}

func useListener(f func(fd int) error) error {
	if err := SetNoNewPrivs(); err != nil {
		return err
	}
	allow := []BPFInstr{{Code: unix.BPF_RET | unix.BPF_K, K: SECCOMP_RET_ALLOW}}
	fd, err := InstallFilter(allow, SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return err
	}
	defer Close(fd)
	return f(fd)
}

// onDoomedThread runs f on an OS thread that no goroutine uses afterwards: the
// runtime ends a thread whose goroutine returns locked. The process's main
// thread would only be parked, with its filter in sight of others, so it is
// held while another is taken.
func onDoomedThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if Gettid() == os.Getpid() {
			err := onDoomedThread(f)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func testPidfd() error {
	pfd, err := PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	defer Close(pfd)
	fd, err := PidfdGetfd(pfd, pfd)
	if err != nil {
		return err
	}
	return Close(fd)
}

func testMemfd() error {
	fd, err := Memfd("popcorn-probe", 0)
	if err != nil {
		return err
	}
	defer Close(fd)
	if err := Ftruncate(fd, PageSize); err != nil {
		return err
	}
	b, err := Mmap(fd, 0, PageSize, PROT_READ|PROT_EXEC, MAP_SHARED)
	if err != nil {
		return err
	}
	defer Munmap(b)
	return PunchHole(fd, 0, PageSize)
}

func testPagemapScan() error {
	fd, err := Open("/proc/self/pagemap", O_RDONLY|O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer Close(fd)
	_, _, err = PagemapScan(fd, 0, PageSize, PageIsPresent, make([]PageRegion, 1))
	return err
}

func testProcmapQuery() error {
	fd, err := Open("/proc/self/maps", O_RDONLY|O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer Close(fd)
	_, err = QueryVMA(fd, 0)
	if err == ENOENT { // address 0: understood, nothing there
		return nil
	}
	return err
}

func testEpollPwait2() error {
	e, err := NewEpoll()
	if err != nil {
		return err
	}
	defer e.Close()
	_, err = epollPwait2(e.fd, make([]Event, 1), time.Nanosecond, false)
	if errors.Is(err, EINTR) {
		return nil
	}
	return err
}

func testTimeNS() error {
	_, err := os.Stat("/proc/self/ns/time")
	if errors.Is(err, os.ErrNotExist) {
		return ENOSYS
	}
	return err
}
