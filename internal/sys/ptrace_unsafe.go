package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptraceMem is for requests that read or write memory of ours.
func ptraceMem(req, tid int, addr uintptr, data unsafe.Pointer) (uintptr, error) {
	n, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, uintptr(data), 0, 0)
	return n, toErr(e)
}

// regset reads or writes a register set, and returns how many bytes of it there are.
func regset(req, tid int, note uintptr, buf []byte) (int, error) {
	iov := unix.Iovec{Base: unsafe.SliceData(buf), Len: uint64(len(buf))}
	_, err := ptraceMem(req, tid, note, unsafe.Pointer(&iov))
	return int(iov.Len), err
}

// GetSigMask is the set of blocked signals, bit n-1 for signal n.
func GetSigMask(tid int) (mask uint64, err error) {
	_, err = ptraceMem(unix.PTRACE_GETSIGMASK, tid, unsafe.Sizeof(mask), unsafe.Pointer(&mask))
	return mask, err
}

// SetSigMask replaces it.
func SetSigMask(tid int, mask uint64) error {
	_, err := ptraceMem(unix.PTRACE_SETSIGMASK, tid, unsafe.Sizeof(mask), unsafe.Pointer(&mask))
	return err
}

// Pending is the set of signals that wait for the stopped thread tid or for its
// process, bit n-1 for signal n. One that found no room to be queued (beyond
// RLIMIT_SIGPENDING) is not among them.
func Pending(tid int) (set uint64, err error) {
	for _, flags := range []uint32{0, unix.PTRACE_PEEKSIGINFO_SHARED} {
		var infos [16]SigInfo
		args := struct { // struct ptrace_peeksiginfo_args
			off   uint64
			flags uint32
			nr    int32
		}{flags: flags, nr: int32(len(infos))}
		for n := uintptr(len(infos)); n == uintptr(len(infos)); args.off += uint64(n) {
			if n, err = peekSigInfo(tid, unsafe.Pointer(&args), &infos[0]); err != nil {
				return 0, err
			}
			for _, i := range infos[:n] {
				set |= 1 << (i.Signo() - 1)
			}
		}
	}
	return set, nil
}

func peekSigInfo(tid int, args unsafe.Pointer, infos *SigInfo) (uintptr, error) {
	n, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_PEEKSIGINFO, uintptr(tid), uintptr(args), uintptr(unsafe.Pointer(infos)), 0, 0)
	return n, toErr(e)
}

// GetSigInfo is the signal that tid stopped for; EINVAL in a group stop.
func GetSigInfo(tid int) (s SigInfo, err error) {
	_, err = ptraceMem(unix.PTRACE_GETSIGINFO, tid, 0, unsafe.Pointer(&s))
	return s, err
}

// SetSigInfo replaces it; to be followed by Cont with the same signal.
func SetSigInfo(tid int, s *SigInfo) error {
	_, err := ptraceMem(unix.PTRACE_SETSIGINFO, tid, 0, unsafe.Pointer(s))
	return err
}

// EventMsg is the event's message: the new thread of EVENT_CLONE and FORK, the
// old tid of EVENT_EXEC, the status of EVENT_EXIT, the data of EVENT_SECCOMP.
func EventMsg(tid int) (msg uint64, err error) {
	_, err = ptraceMem(unix.PTRACE_GETEVENTMSG, tid, 0, unsafe.Pointer(&msg))
	return msg, err
}

// GetRseq is tid's registration of restartable sequences (5.13 and newer).
func GetRseq(tid int) (RseqConfig, error) {
	var c struct {
		RseqConfig
		_ uint32
	}
	_, err := ptraceMem(unix.PTRACE_GET_RSEQ_CONFIGURATION, tid, unsafe.Sizeof(c), unsafe.Pointer(&c))
	return c.RseqConfig, err
}

// SyscallStop is what a thread in the stop of a system call is at, after
// SyscallStep.
type SyscallStop struct {
	// Entry tells that the call has not been made yet; Nr and Args mean
	// something only then. Arch is the AUDIT_ARCH of the instruction that makes it.
	Entry bool
	Arch  uint32
	Nr    uint64
	Args  [6]uint64
}

// GetSyscallStop asks the kernel, which alone knows an entry from an exit
// (PTRACE_GET_SYSCALL_INFO, 5.3 and newer).
func GetSyscallStop(tid int) (SyscallStop, error) {
	const entry = 1 // PTRACE_SYSCALL_INFO_ENTRY, linux/ptrace.h
	var info struct {
		op     uint8
		_      [3]uint8
		arch   uint32
		ip, sp uint64
		nr     uint64
		args   [6]uint64
		_      uint64
	}
	_, err := ptraceMem(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), unsafe.Pointer(&info))
	return SyscallStop{info.op == entry, info.arch, info.nr, info.args}, err
}
