package sys

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below, and the userfaultfd's, never wait, and are made by
// RawSyscall, without telling Go's scheduler. Its monitor takes the P away from
// a thread that it finds in a Syscall and that has not yielded for 10 ms, which
// an event loop never does (retake in runtime/proc.go): at every fault the loop
// then had to find another P, and woke the monitor.

// TryRead is Read of a non-blocking descriptor, and only of that.
func TryRead(fd int, b []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case e == unix.EINTR:
		case e != 0:
			return 0, e
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

// TryWrite is Write to a non-blocking descriptor, and only to that.
func TryWrite(fd int, b []byte) (int, error) { return TryWritev(fd, [][]byte{b}) }

// maxTryVectors bounds one TryWritev, whose vector lives on the stack.
const maxTryVectors = 64

// TryWritev is Writev to a non-blocking descriptor, and only to that; it writes
// no more than the first 64 buffers.
func TryWritev(fd int, bufs [][]byte) (int, error) {
	var iov [maxTryVectors]unix.Iovec
	n := 0
	for _, b := range bufs {
		if n == len(iov) {
			break
		}
		if len(b) > 0 {
			iov[n] = unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
			n++
		}
	}
	for {
		done, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), uintptr(n))
		switch {
		case e == unix.EINTR:
		case e != 0:
			return 0, e
		default:
			return int(done), nil
		}
	}
}

// PeekMemory is Pread of a file that is memory: a memfd, or a process's mem or
// pagemap.
func PeekMemory(fd int, b []byte, off int64) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			uintptr(off), 0, 0)
		switch {
		case e == unix.EINTR:
		case e != 0:
			return 0, e
		default:
			return int(n), nil
		}
	}
}

// quickWait is wait4 with WNOHANG among the options.
func quickWait(pid int, status *WaitStatus, options int, usage *Rusage) (int, error) {
	tid, _, e := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(status)), uintptr(options),
		uintptr(unsafe.Pointer(usage)), 0, 0)
	return int(tid), toErr(e)
}
