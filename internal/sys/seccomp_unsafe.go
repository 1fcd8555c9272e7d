package sys

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type (
	seccompNotif struct {
		id    uint64
		pid   uint32
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	seccompResp struct {
		id    uint64
		val   int64
		errno int32 // negative
		flags uint32
	}
	sockFprog struct {
		len    uint16
		_      [6]byte
		filter *BPFInstr
	}
)

// NotifRecv takes the next call that waits on the listener fd; it blocks also
// on a non-blocking one unless poll said ready. ENOENT when the call went away
// meanwhile: ask again.
func NotifRecv(fd int) (Notif, error) {
	for {
		var n seccompNotif // the kernel refuses a buffer that is not zero
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return Notif{}, e
		}
		return n.public(), nil
	}
}

// TryNotifRecv is NotifRecv after poll said ready, and only then: it does not
// wait even when the call went away since.
func TryNotifRecv(fd int) (Notif, error) {
	var n seccompNotif
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
	return n.public(), toErr(e)
}

func (n *seccompNotif) public() Notif {
	return Notif{ID: n.id, PID: int(n.pid), Arch: n.arch, Nr: int(n.nr), IP: n.ip, Args: n.args}
}

func notifSend(fd int, id uint64, val int64, errno int32, flags uint32) error {
	r := seccompResp{id: id, val: val, errno: errno, flags: flags}
	for {
		_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
		if e != unix.EINTR {
			return toErr(e)
		}
	}
}

// NotifValid tells whether the call id still waits, so that its PID has not
// been reused: to ask after reading the thread's memory, before believing it.
func NotifValid(fd int, id uint64) bool {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_ID_VALID, uintptr(unsafe.Pointer(&id)))
	return e == 0
}

// InstallFilter puts prog on the calling thread (all threads with TSYNC) for
// good, and returns the listener with NEW_LISTENER, else 0. The caller has
// locked the thread and has PR_SET_NO_NEW_PRIVS or CAP_SYS_ADMIN (else EACCES).
// EBUSY when a listener is already in the filter chain.
func InstallFilter(prog []BPFInstr, flags int) (listener int, err error) {
	f := sockFprog{len: uint16(len(prog)), filter: unsafe.SliceData(prog)}
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(prog)
	return int(fd), toErr(e)
}

// seccompActionAvail asks whether filters may return action.
func seccompActionAvail(action uint32) error {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return toErr(e)
}

// seccompFlagsKnown asks whether the kernel knows flags: a filter at NULL is
// EFAULT when it does and EINVAL when it does not.
func seccompFlagsKnown(flags int) error {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, uintptr(flags), 0)
	if e == unix.EFAULT {
		return nil
	}
	return toErr(e)
}
