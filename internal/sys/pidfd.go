package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// PIDFD_THREAD lets PidfdOpen name a thread (6.9 and newer).
const PIDFD_THREAD = unix.O_EXCL

// PidfdOpen is a descriptor (close-on-exec) that names the process pid for
// good; it polls readable when the process has ended.
func PidfdOpen(pid, flags int) (int, error) { return unix.PidfdOpen(pid, flags) }

// PidfdGetfd duplicates the process's descriptor target into this process,
// close-on-exec. It needs the right to ptrace (EPERM); EBADF for no such descriptor.
func PidfdGetfd(pidfd, target int) (int, error) { return unix.PidfdGetfd(pidfd, target, 0) }

// PidfdSendSignal sends sig to exactly that process; ESRCH after its end.
func PidfdSendSignal(pidfd int, sig Signal) error {
	return unix.PidfdSendSignal(pidfd, sig, nil, 0)
}

// Tgkill sends sig to one thread of the process tgid.
func Tgkill(tgid, tid int, sig Signal) error { return unix.Tgkill(tgid, tid, sig) }

// Kill sends sig to a process, or to the group -pid when pid is negative.
func Kill(pid int, sig Signal) error { return unix.Kill(pid, sig) }

// AwaitPidfd waits until the process of a pidfd has ended (it polls readable
// then); false after d. A bad descriptor counts as ended.
func AwaitPidfd(fd int, d time.Duration) bool { return AwaitReadable(fd, d) }

// AwaitReadable waits until fd is readable or broken; false after d.
func AwaitReadable(fd int, d time.Duration) bool {
	deadline := Monotonic() + d
	for {
		left := max(deadline-Monotonic(), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, millis(left))
		if err == unix.EINTR {
			continue
		}
		return n != 0 || err != nil
	}
}

// Shutdown ends both directions of a socket, so that who reads from it wakes up.
func Shutdown(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }
