package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Kcmp compares (linux/kcmp.h).
const (
	KCMP_FILE  = 0
	KCMP_VM    = 1
	KCMP_FILES = 2
	KCMP_FS    = 3
)

// Kcmp compares a resource of two threads: 0 for the same one, 1 and 2 for an
// order among different ones, 3 for no order. For KCMP_FILE i and j are
// descriptors. ENOSYS where the kernel cannot (CONFIG_KCMP).
func Kcmp(tid1, tid2, what, i, j int) (int, error) {
	n, _, e := unix.Syscall6(unix.SYS_KCMP, uintptr(tid1), uintptr(tid2), uintptr(what), uintptr(i), uintptr(j), 0)
	return int(n), toErr(e)
}

// Limit is one of a process's resource limits, in the resource's own unit.
type Limit struct{ Soft, Max uint64 }

// Limits is how many resources have limits (RLIM_NLIMITS).
const Limits = 16

// GetLimit is process pid's limit of a resource (prlimit(2)).
func GetLimit(pid, resource int) (Limit, error) {
	var l unix.Rlimit
	err := unix.Prlimit(pid, resource, nil, &l)
	return Limit{l.Cur, l.Max}, err
}

// SetLimit changes it; EPERM to raise a maximum without the right.
func SetLimit(pid, resource int, l Limit) error {
	return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: l.Soft, Max: l.Max}, nil)
}

// PeekSignals lists the signals waiting for the stopped thread tid, or with
// shared those for its whole process (PTRACE_PEEKSIGINFO).
func PeekSignals(tid int, shared bool) ([]SigInfo, error) {
	const peekSigInfo, sharedQueue = 0x4209, 1
	var all []SigInfo
	for {
		args := struct {
			off   uint64
			flags uint32
			nr    int32
		}{off: uint64(len(all)), nr: 32}
		if shared {
			args.flags = sharedQueue
		}
		var buf [32]SigInfo
		n, _, e := unix.Syscall6(unix.SYS_PTRACE, peekSigInfo, uintptr(tid), uintptr(unsafe.Pointer(&args)),
			uintptr(unsafe.Pointer(&buf)), 0, 0)
		if e != 0 {
			return nil, e
		}
		if n == 0 {
			return all, nil
		}
		all = append(all, buf[:n]...)
	}
}

// SetNice changes it; EACCES to lower it without the right.
func SetNice(pid, nice int) error { return unix.Setpriority(unix.PRIO_PROCESS, pid, nice) }
