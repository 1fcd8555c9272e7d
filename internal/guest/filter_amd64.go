package guest

import (
	"fmt"

	"golang.org/x/net/bpf"

	"popcorn/internal/sys"
)

const (
	auditArch = 0xc000003e // AUDIT_ARCH_X86_64, linux/audit.h
)

// restFilter is what a guest has from the start: only the popcorn calls stop.
func restFilter(numbers []int) ([]bpf.RawInstruction, error) {
	f := newFilterAsm()
	f.load(dataArch)
	f.retIf(bpf.JumpNotEqual, auditArch, sys.SECCOMP_RET_ALLOW)
	f.load(dataNr)
	for _, nr := range numbers {
		f.retIf(bpf.JumpEqual, uint32(nr), sys.SECCOMP_RET_TRACE)
	}
	f.ret(sys.SECCOMP_RET_ALLOW)
	return f.assemble()
}

// homeFilter is added at home when the first thread leaves. Calls that change
// mappings other nodes may know go to the supervisor, unless the agent makes
// them, and so do calls that copy the address space, futex operations that do
// not wait for pages and those that install filters. None of them is a stop for the tracer: child processes
// inherit the filter and have none. The numbers are tested before anything else is loaded: then the kernel
// caches that the others are allowed (seccomp_cache_prepare, kernel/seccomp.c).
func homeFilter() ([]bpf.RawInstruction, error) { return homeFilterAsm().assemble() }

func homeFilterAsm() *filterAsm {
	f := newFilterAsm()
	f.load(dataArch)
	f.retIf(bpf.JumpNotEqual, auditArch, sys.SECCOMP_RET_ALLOW)
	f.load(dataNr)
	f.retIf(bpf.JumpEqual, Doorbell, sys.SECCOMP_RET_USER_NOTIF)
	for _, nr := range []uint32{sys.SYS_MUNMAP, sys.SYS_MREMAP, sys.SYS_MPROTECT, sys.SYS_PKEY_MPROTECT,
		sys.SYS_BRK, sys.SYS_REMAP_FILE_PAGES, sys.SYS_SHMAT, sys.SYS_SHMDT} {
		f.to("unless agent", bpf.JumpEqual, nr)
	}
	f.to("mmap", bpf.JumpEqual, sys.SYS_MMAP)
	f.to("madvise", bpf.JumpEqual, sys.SYS_MADVISE)
	f.to("clone", bpf.JumpEqual, sys.SYS_CLONE)
	f.to("futex", bpf.JumpEqual, sys.SYS_FUTEX)
	f.to("unless agent", bpf.JumpEqual, sys.SYS_SECCOMP)
	f.to("prctl", bpf.JumpEqual, sys.SYS_PRCTL)
	f.retIf(bpf.JumpEqual, sys.SYS_CLONE3, sys.SECCOMP_RET_USER_NOTIF)
	f.retIf(bpf.JumpEqual, sys.SYS_FORK, sys.SECCOMP_RET_USER_NOTIF)
	f.ret(sys.SECCOMP_RET_ALLOW)

	f.label("futex") // the operations the kernel faults in without retry
	f.arg(1)
	f.ins = append(f.ins, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x7f})
	for _, op := range holdingFutexOps {
		f.to("unless agent", bpf.JumpEqual, op)
	}
	f.ret(sys.SECCOMP_RET_ALLOW)

	f.label("prctl")
	f.arg(0)
	f.to("unless agent", bpf.JumpEqual, sys.PR_SET_SECCOMP)
	f.ret(sys.SECCOMP_RET_ALLOW)

	f.label("clone") // CLONE_VM: a thread or vfork, memory is not copied
	f.arg(0)
	f.retIf(bpf.JumpBitsSet, 0x100, sys.SECCOMP_RET_ALLOW)
	f.to("unless agent", bpf.JumpBitsNotSet, 0x100)

	f.label("madvise")
	f.arg(2)
	for _, advice := range droppingAdvice {
		f.to("unless agent", bpf.JumpEqual, advice)
	}
	f.ret(sys.SECCOMP_RET_ALLOW)

	f.label("mmap")
	f.arg(3)
	f.to("unless agent", bpf.JumpBitsSet, sys.MAP_FIXED|mapDroppable)
	f.retIf(bpf.JumpBitsSet, sys.MAP_ANONYMOUS|sys.MAP_SHARED, sys.SECCOMP_RET_ALLOW)
	f.arg(2)
	f.to("unless agent", bpf.JumpBitsSet, sys.PROT_WRITE) // a writable private file
	f.ret(sys.SECCOMP_RET_ALLOW)

	f.label("unless agent")
	f.unlessAgent()
	f.ret(sys.SECCOMP_RET_USER_NOTIF)
	return f
}

// holdingFutexOps: WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_REQUEUE_PI,
// CMP_REQUEUE_PI, LOCK_PI2 return EFAULT for a page that is away (linux/futex.h).
var holdingFutexOps = []uint32{5, 6, 7, 8, 11, 12, 13}

// droppingAdvice changes what memory holds: DONTNEED, FREE, REMOVE,
// DONTNEED_LOCKED, GUARD_INSTALL, GUARD_REMOVE (linux/mman.h).
var droppingAdvice = []uint32{4, 8, 9, 24, 102, 103}

// unlessAgent allows the call when the agent's code makes it.
func (f *filterAsm) unlessAgent() {
	f.load(dataIP + 4)
	f.ins = append(f.ins, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(AgentBase >> 32), SkipTrue: 4})
	f.load(dataIP)
	f.ins = append(f.ins,
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32(AgentBase & 0xffffffff), SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: uint32(AgentBase&0xffffffff) + 0x1000, SkipTrue: 1})
	f.ret(sys.SECCOMP_RET_ALLOW)
}

// RemoteClasses are the numbers that a remote filter treats apart.
type RemoteClasses struct {
	Local  []int // allowed
	GoHome []int // stop the thread, which then moves home
	Max    int   // numbers above go home too
}

// remoteFilter is what every guest thread on a remote lives under: nothing but
// the local calls reaches that host's kernel. The agent may make threads like
// those we make; a guest that jumps there gets one that is not known to us, and
// its stub is ended for it.
func remoteFilter(c RemoteClasses) ([]bpf.RawInstruction, error) {
	f := newFilterAsm()
	f.load(dataArch)
	f.retIf(bpf.JumpNotEqual, auditArch, sys.SECCOMP_RET_KILL_PROCESS)
	f.load(dataNr)
	for _, nr := range c.Local {
		f.retIf(bpf.JumpEqual, uint32(nr), sys.SECCOMP_RET_ALLOW)
	}
	f.to("clone", bpf.JumpEqual, sys.SYS_CLONE)
	f.retIf(bpf.JumpEqual, ClockCall, sys.SECCOMP_RET_USER_NOTIF)
	for _, nr := range c.GoHome {
		f.retIf(bpf.JumpEqual, uint32(nr), sys.SECCOMP_RET_TRACE)
	}
	f.retIf(bpf.JumpGreaterThan, uint32(c.Max), sys.SECCOMP_RET_TRACE)
	f.ret(sys.SECCOMP_RET_USER_NOTIF)
	f.label("clone")
	f.arg(0)
	f.retIf(bpf.JumpNotEqual, threadFlags, sys.SECCOMP_RET_TRACE)
	f.unlessAgent()
	f.ret(sys.SECCOMP_RET_TRACE)
	return f.assemble()
}

// installFilter makes the stopped thread tid install a filter. With the flag
// NEW_LISTENER the result is the listener's descriptor in the guest. The program
// is written at scratch, 8 KiB of the thread's writable or private memory.
func (p *Process) installFilter(tid int, prog []bpf.RawInstruction, flags, scratch uint64) (int, error) {
	code := sys.EncodeFilter(prog)
	header := make([]byte, 16) // struct sock_fprog
	header[0], header[1] = byte(len(prog)), byte(len(prog)>>8)
	putLE64(header[8:], scratch+16)
	if err := p.Write(vmAddr(scratch), append(header, code...)); err != nil {
		return -1, err
	}
	const setNoNewPrivs = 38
	if _, err := p.Call(tid, sys.SYS_PRCTL, setNoNewPrivs, 1); err != nil {
		return -1, fmt.Errorf("set no_new_privs: %w", err)
	}
	fd, err := p.Call(tid, sys.SYS_SECCOMP, sys.SECCOMP_SET_MODE_FILTER, flags, scratch)
	if err != nil {
		return -1, fmt.Errorf("install filter: %w", err)
	}
	return int(int64(fd)), nil
}
