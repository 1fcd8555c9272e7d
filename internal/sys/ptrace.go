package sys

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Options of Seize (ptrace(2), PTRACE_SETOPTIONS).
const (
	O_TRACESYSGOOD    = unix.PTRACE_O_TRACESYSGOOD
	O_TRACEFORK       = unix.PTRACE_O_TRACEFORK
	O_TRACEVFORK      = unix.PTRACE_O_TRACEVFORK
	O_TRACECLONE      = unix.PTRACE_O_TRACECLONE
	O_TRACEEXEC       = unix.PTRACE_O_TRACEEXEC
	O_TRACEVFORKDONE  = unix.PTRACE_O_TRACEVFORKDONE
	O_TRACEEXIT       = unix.PTRACE_O_TRACEEXIT
	O_TRACESECCOMP    = unix.PTRACE_O_TRACESECCOMP
	O_EXITKILL        = unix.PTRACE_O_EXITKILL
	O_SUSPEND_SECCOMP = unix.PTRACE_O_SUSPEND_SECCOMP
)

// Events that StopEvent tells apart.
const (
	EVENT_FORK       = unix.PTRACE_EVENT_FORK
	EVENT_VFORK      = unix.PTRACE_EVENT_VFORK
	EVENT_CLONE      = unix.PTRACE_EVENT_CLONE
	EVENT_EXEC       = unix.PTRACE_EVENT_EXEC
	EVENT_VFORK_DONE = unix.PTRACE_EVENT_VFORK_DONE
	EVENT_EXIT       = unix.PTRACE_EVENT_EXIT
	EVENT_SECCOMP    = unix.PTRACE_EVENT_SECCOMP
	EVENT_STOP       = unix.PTRACE_EVENT_STOP
)

// All functions of this file but Seize and Interrupt want the caller to be the
// OS thread that seized tid and tid to be in a ptrace stop: ESRCH otherwise.

// Seize attaches to tid without stopping it. EPERM without the right or when
// somebody else traces it.
func Seize(tid, options int) error { return ptrace(unix.PTRACE_SEIZE, tid, 0, uintptr(options)) }

// SetOptions replaces what Seize set.
func SetOptions(tid, options int) error {
	return ptrace(unix.PTRACE_SETOPTIONS, tid, 0, uintptr(options))
}

// Interrupt asks for an EVENT_STOP. It returns at once; the stop comes by Wait,
// and not before a kernel-mode page fault under way is answered.
func Interrupt(tid int) error { return ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0) }

// Cont lets tid run, delivering sig when not 0.
func Cont(tid int, sig Signal) error { return ptrace(unix.PTRACE_CONT, tid, 0, uintptr(sig)) }

// SyscallStep is Cont until the next entry to or exit from a system call.
func SyscallStep(tid int, sig Signal) error { return ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(sig)) }

// SingleStep is Cont for one instruction.
func SingleStep(tid int, sig Signal) error {
	return ptrace(unix.PTRACE_SINGLESTEP, tid, 0, uintptr(sig))
}

// Listen leaves tid in its group stop but able to report more events.
func Listen(tid int) error { return ptrace(unix.PTRACE_LISTEN, tid, 0, 0) }

// Detach lets tid run untraced, delivering sig when not 0.
func Detach(tid int, sig Signal) error { return ptrace(unix.PTRACE_DETACH, tid, 0, uintptr(sig)) }

// ptrace is for requests without memory of ours. It goes by Syscall: a request
// may wait for the tracee to leave its CPU.
func ptrace(req, tid int, addr, data uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	return toErr(e)
}

// RseqConfig is a thread's registration by rseq(2); Ptr 0 means none.
type RseqConfig struct {
	Ptr       uint64
	Size      uint32
	Signature uint32
	Flags     uint32
}

// SigInfo is a siginfo_t as the kernel lays it out on 64-bit machines. Which of
// the fields beyond Signo and Code mean something depends on these two.
type SigInfo [128]byte

// FaultInfo is what the kernel tells of a signal that a thread has caused itself.
func FaultInfo(sig Signal, code int, addr uint64) (s SigInfo) {
	binary.NativeEndian.PutUint32(s[0:], uint32(sig))
	binary.NativeEndian.PutUint32(s[8:], uint32(code))
	binary.NativeEndian.PutUint64(s[16:], addr)
	return s
}

// Signo is the signal's number.
func (s *SigInfo) Signo() Signal { return Signal(s.i32(0)) }

// Errno is si_errno, almost always 0.
func (s *SigInfo) Errno() Errno { return Errno(s.i32(4)) }

// Code tells who sent it (SI_USER, SI_TKILL, ...) or, when positive, what the
// kernel saw.
func (s *SigInfo) Code() int { return int(s.i32(8)) }

// PID is the sender's, for signals sent by processes and SIGCHLD.
func (s *SigInfo) PID() int { return int(s.i32(16)) }

// UID is the sender's real user.
func (s *SigInfo) UID() int { return int(s.i32(20)) }

// Addr is the faulting address of SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP.
func (s *SigInfo) Addr() uint64 { return binary.NativeEndian.Uint64(s[16:]) }

// Value is the value sent with sigqueue(3).
func (s *SigInfo) Value() uint64 { return binary.NativeEndian.Uint64(s[24:]) }

// Status is the exit code or signal of SIGCHLD.
func (s *SigInfo) Status() int { return int(s.i32(24)) }

// Synchronous tells whether the kernel raised it for what the thread itself
// did, so that executing the same instruction again would raise it again.
func (s *SigInfo) Synchronous() bool {
	switch s.Signo() {
	case SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS:
		return s.Code() > 0
	}
	return false
}

func (s *SigInfo) i32(at int) int32 { return int32(binary.NativeEndian.Uint32(s[at:])) }

// Values of SigInfo.Code for signals that processes send (asm-generic/siginfo.h).
const (
	SI_USER   = 0
	SI_KERNEL = 128
	SI_QUEUE  = -1
	SI_TIMER  = -2
	SI_TKILL  = -6
)
