package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// SetPdeathsig has the kernel send sig to this process when the *thread* that
// started it ends, so its starter must hold that thread; cleared by exec of a
// set-id program. 0 takes it back. A starter already gone goes unnoticed:
// compare os.Getppid afterwards.
func SetPdeathsig(sig Signal) error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(sig), 0, 0, 0)
}

// SetDumpable false keeps other processes of the same user from tracing this
// one and reading its memory and descriptors.
func SetDumpable(on bool) error {
	return unix.Prctl(unix.PR_SET_DUMPABLE, boolArg(on), 0, 0, 0)
}

// SetChildSubreaper makes orphaned descendants children of this process, so
// that their ends are not lost to init.
func SetChildSubreaper(on bool) error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, boolArg(on), 0, 0, 0)
}

// SetNoNewPrivs keeps the calling thread and what it starts from gaining rights
// by exec, for good; the price of a filter without CAP_SYS_ADMIN.
func SetNoNewPrivs() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

// SetPtracer allows pid to trace this process where Yama restricts tracing to
// ancestors; EINVAL without Yama.
func SetPtracer(pid int) error { return unix.Prctl(unix.PR_SET_PTRACER, uintptr(pid), 0, 0, 0) }

// Gettid is the calling OS thread, stable only while locked to it.
func Gettid() int { return unix.Gettid() }

// CloseRange closes the descriptors first to last. With cloexec it only marks
// them to be closed by exec.
func CloseRange(first, last uint, cloexec bool) error {
	var flags uint
	if cloexec {
		flags = unix.CLOSE_RANGE_CLOEXEC
	}
	return unix.CloseRange(first, last, flags)
}

// SetAffinity binds the thread tid (0: the caller) to the CPUs.
func SetAffinity(tid int, cpus ...int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	return unix.SchedSetaffinity(tid, &set)
}

// Affinity is the list of CPUs that tid (0: the caller) may run on.
func Affinity(tid int) ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		return nil, err
	}
	cpus := make([]int, 0, set.Count())
	for c := 0; len(cpus) < set.Count(); c++ {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

func boolArg(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

// ProcessCPU is the processor time, user and system, that all threads of process
// pid have used, the ended ones too; it is exact where proc(5) counts ticks.
// EINVAL when there is no such process.
func ProcessCPU(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED, linux/posix-timers_types.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// CoreLimit is the soft limit on the size of process pid's core dump, in bytes.
func CoreLimit(pid int) (uint64, error) {
	var l unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &l)
	return l.Cur, err
}
