package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// WaitStatus is what wait4 tells of a stop or an end.
type WaitStatus = unix.WaitStatus

// Wait is wait4(2) with __WALL: without it threads made by clone without
// SIGCHLD, which is all threads, are not waited for. pid -1 means any child or
// tracee of any thread of this process, so whoever calls it steals exits from
// os/exec. tid 0 with WNOHANG means nothing yet; ECHILD means nothing to wait for.
// It blocks without holding a P and goes on after EINTR.
func Wait(pid, options int) (tid int, status WaitStatus, usage Rusage, err error) {
	for {
		if options&unix.WNOHANG != 0 {
			tid, err = quickWait(pid, &status, options|unix.WALL, &usage)
		} else {
			tid, err = unix.Wait4(pid, &status, options|unix.WALL, &usage)
		}
		if err != unix.EINTR {
			return tid, status, usage, err
		}
	}
}

// StopEvent is the EVENT_ of a ptrace stop, 0 for a plain signal or system call
// stop. WaitStatus.TrapCause knows it only for SIGTRAP, which a group stop of a
// seized thread is not.
func StopEvent(s WaitStatus) int {
	if !s.Stopped() {
		return 0
	}
	return int(uint32(s) >> 16)
}

// IsGroupStop tells whether the whole process was stopped by SIGSTOP or its
// kin; the answer is Listen, or Cont to ignore it.
func IsGroupStop(s WaitStatus) bool {
	if StopEvent(s) != EVENT_STOP {
		return false
	}
	switch s.StopSignal() {
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return true
	}
	return false
}

// IsInterruptStop tells whether it is Interrupt's doing, or the first stop of a
// thread born traced, or the end of a group stop.
func IsInterruptStop(s WaitStatus) bool {
	return StopEvent(s) == EVENT_STOP && s.StopSignal() == unix.SIGTRAP
}

// IsSyscallStop tells whether tid is at a system call's entry or exit after
// SyscallStep; it needs O_TRACESYSGOOD.
func IsSyscallStop(s WaitStatus) bool {
	return s.Stopped() && s.StopSignal() == unix.SIGTRAP|0x80
}

// IsSignalStop tells whether a signal waits to be delivered by Cont.
func IsSignalStop(s WaitStatus) bool {
	return s.Stopped() && StopEvent(s) == 0 && !IsSyscallStop(s)
}

// Nap sleeps for d, or until this thread handles a signal: then it tells true.
func Nap(d time.Duration) (woken bool) {
	_, err := unix.Poll(nil, millis(d))
	return err == unix.EINTR
}
