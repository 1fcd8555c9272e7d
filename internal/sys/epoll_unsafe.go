package sys

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A quick wait is made by RawSyscall, as quick_unsafe.go explains; it must be short.

func epollWait(fd int, events []Event, ms int, quick bool) (int, error) {
	p, size := unsafe.Pointer(unsafe.SliceData(events)), uintptr(len(events))
	var n uintptr
	var e Errno
	if quick {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(p), size, uintptr(ms), 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(p), size, uintptr(ms), 0, 0)
	}
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

func epollPwait2(fd int, events []Event, timeout time.Duration, quick bool) (int, error) {
	ts := unix.NsecToTimespec(int64(timeout))
	p, size := unsafe.Pointer(unsafe.SliceData(events)), uintptr(len(events))
	var n uintptr
	var e Errno
	if quick {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd), uintptr(p), size, uintptr(unsafe.Pointer(&ts)), 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd), uintptr(p), size, uintptr(unsafe.Pointer(&ts)), 0, 0)
	}
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
