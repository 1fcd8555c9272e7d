package sys

import (
	"errors"
	"fmt"
)

// Probe is one thing we want from the kernel, and how to ask the running one.
type Probe struct {
	Name     string
	Since    string // least Linux version that has it everywhere we run
	Need     string // why we want it
	Hint     string // what gives the right to it, where EPERM is likely
	Of       string // the probe without which this one need not be asked
	Required bool   // without it nothing can be distributed
	Test     func() error
}

// Unsupported is a Probe whose Test said no. It is errors.ErrUnsupported, and
// its cause is the kernel's error number.
type Unsupported struct {
	Probe Probe
	Err   error
}

func (u *Unsupported) Unwrap() error        { return u.Err }
func (u *Unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

func (u *Unsupported) Error() string {
	p := u.Probe
	switch {
	case errors.Is(u.Err, EPERM) || errors.Is(u.Err, EACCES):
		hint := p.Hint
		if hint == "" {
			hint = "a sandbox or security module denies it"
		}
		return fmt.Sprintf("%s not permitted (%s)", p.Name, hint)
	case errors.Is(u.Err, EBUSY): // of seccomp: one listener a filter chain
		return fmt.Sprintf("%s not available (%s)", p.Name, busyHint)
	case kernelAtLeast(p.Since):
		return fmt.Sprintf("%s not supported (Linux >= %s has it, but this one was built without it or denies it: %v)",
			p.Name, p.Since, u.Err)
	}
	return fmt.Sprintf("%s not supported (requires Linux >= %s)", p.Name, p.Since)
}

// Check asks the running kernel: nil or an *Unsupported.
func (p Probe) Check() error {
	if err := p.Test(); err != nil {
		return &Unsupported{Probe: p, Err: err}
	}
	return nil
}

// Missing tells which required things the running kernel lacks or denies, in
// under 20 ms and without leaving a trace in this process.
func Missing() []error {
	var errs []error
	failed := map[string]bool{}
	for _, p := range Probes() {
		if !p.Required || failed[p.Of] {
			continue
		}
		if err := p.Check(); err != nil {
			failed[p.Name] = true
			errs = append(errs, err)
		}
	}
	return errs
}

const (
	uffdHint = "give this user read and write access to /dev/userfaultfd, or set sysctl vm.unprivileged_userfaultfd=1, or run with CAP_SYS_PTRACE"
	yamaHint = "set sysctl kernel.yama.ptrace_scope to 0 or 1, or run with CAP_SYS_PTRACE"
	busyHint = "another supervisor, perhaps a container's, already listens to this process's system calls"
)

// Probes is all we ask of a kernel, the required ones first.
func Probes() []Probe {
	return append(requiredProbes(), optionalProbes()...)
}

func requiredProbes() []Probe {
	return []Probe{
		{Name: "this kernel", Since: minKernel, Required: true, Test: testKernel,
			Need: "the oldest kernel this is tested on"},
		{Name: "/proc of processes", Since: "3.8", Required: true, Test: testProc,
			Need: "a guest's memory and mappings are read there"},
		{Name: "userfaultfd", Since: "4.11", Required: true, Hint: uffdHint, Test: uffdHas(0),
			Need: "page faults of guests are answered with pages of other nodes"},
		{Name: "userfaultfd missing pages of shared memory", Since: "4.11", Of: "userfaultfd", Required: true, Hint: uffdHint,
			Test: uffdHas(UFFD_FEATURE_MISSING_SHMEM), Need: "a remote guest's memory is a memfd"},
		{Name: "userfaultfd thread ids", Since: "4.14", Of: "userfaultfd", Required: true, Hint: uffdHint,
			Test: uffdHas(UFFD_FEATURE_THREAD_ID), Need: "faults are counted and prefetched by thread"},
		{Name: "userfaultfd write-protect", Since: "5.7", Of: "userfaultfd", Required: true, Hint: uffdHint,
			Test: uffdHas(UFFD_FEATURE_PAGEFAULT_FLAG_WP), Need: "a page read by several nodes must not be written unseen"},
		{Name: "userfaultfd write-protect of shared memory", Since: "5.19", Of: "userfaultfd", Required: true, Hint: uffdHint,
			Test: uffdHas(UFFD_FEATURE_WP_HUGETLBFS_SHMEM), Need: "a remote guest's memory is a memfd"},
		{Name: "ptrace", Since: "5.4", Required: true, Hint: yamaHint, Test: testPtrace,
			Need: "registers and signals of threads are moved by it"},
		{Name: "seccomp filters on all threads", Since: "5.7", Required: true,
			Test: flagsKnown(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
			Need: "a running program's calls are caught from its first migration on"},
		{Name: "seccomp user notification", Since: "5.0", Required: true, Test: testListener,
			Need: "system calls of remote threads are answered from home"},
		{Name: "seccomp notifications that only death interrupts", Since: "5.19", Required: true,
			Test: flagsKnown(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
			Need: "a forwarded call must not run twice"},
		{Name: "pidfd_getfd", Since: "5.6", Required: true, Hint: yamaHint, Test: testPidfd,
			Need: "the supervisor takes userfaultfd and listener out of the guest"},
		{Name: "memfd", Since: "3.17", Required: true, Test: testMemfd,
			Hint: "set sysctl vm.memfd_noexec=0", Need: "memory shared by guest and supervisor, with code in it"},
		{Name: "xsave", Since: "2.6.32", Required: true, Test: testXSave,
			Need: "vector registers move with a thread"},
	}
}

func optionalProbes() []Probe {
	return []Probe{
		{Name: "userfaultfd poison", Since: "6.6", Of: "userfaultfd", Hint: uffdHint, Test: uffdHas(UFFD_FEATURE_POISON),
			Need: "whoever waits for a page that can never come gets a signal, else the job is killed"},
		{Name: "synchronous seccomp wake-ups", Since: "6.6", Test: testSyncWakeup,
			Need: "halves the cost of a forwarded call"},
		{Name: "PAGEMAP_SCAN", Since: "6.7", Test: testPagemapScan,
			Need: "finds touched pages of big mappings quickly, else by reading all entries"},
		{Name: "PROCMAP_QUERY", Since: "6.11", Test: testProcmapQuery,
			Need: "finds one mapping quickly, else by reading all of them"},
		{Name: "epoll_pwait2", Since: "5.11", Test: testEpollPwait2,
			Need: "timers finer than a millisecond"},
		{Name: "time namespaces", Since: "5.6", Test: testTimeNS,
			Need: "the monotonic clock does not jump when a thread changes hosts"},
	}
}
