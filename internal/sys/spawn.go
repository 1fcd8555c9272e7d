package sys

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SpawnAttr says how Spawn starts a process.
type SpawnAttr struct {
	Argv, Env []string
	Dir       string
	Files     []int // the child's descriptors 0, 1, 2 ...; -1 closed
	Pgid      int   // process group to join; 0 keeps the parent's, -1 makes a new one
	Session   bool  // start a new session
	Pdeathsig Signal
	Cred      *Identity // who it runs as; nil: as this process does
	InCgroup  bool      // start in the group of Cgroup
	Cgroup    int       // descriptor of a cgroup v2 folder
	// Held are signals that it starts with blocked, bit n-1 for signal n, beside those
	// of SigMask.
	Held uint64
}

// Identity is what setgroups(2), setgid(2) and setuid(2) are given.
type Identity struct {
	UID, GID uint32
	Groups   []uint32
}

// Spawn starts the executable at path and returns its process id. The caller
// waits for it (Wait); package os must not, so that no exit is stolen.
func Spawn(path string, a SpawnAttr) (int, error) {
	files := make([]uintptr, len(a.Files))
	for i, fd := range a.Files {
		files[i] = ^uintptr(0)
		if fd >= 0 {
			files[i] = uintptr(fd)
		}
	}
	attr := &syscall.ProcAttr{Dir: a.Dir, Env: a.Env, Files: files, Sys: &syscall.SysProcAttr{
		Setsid: a.Session, Pdeathsig: syscall.Signal(a.Pdeathsig), UseCgroupFD: a.InCgroup, CgroupFD: a.Cgroup,
	}}
	if a.Pgid != 0 {
		attr.Sys.Setpgid, attr.Sys.Pgid = true, max(a.Pgid, 0)
	}
	if a.Cred != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: a.Cred.UID, Gid: a.Cred.GID, Groups: a.Cred.Groups}
	}
	if a.Held != 0 {
		runtime.LockOSThread() // the child gets the mask of the thread that forks
		defer runtime.UnlockOSThread()
		var before unix.Sigset_t
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &unix.Sigset_t{Val: [16]uint64{a.Held}}, &before); err != nil {
			return 0, err
		}
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) // the arguments are right
	}
	return syscall.ForkExec(path, a.Argv, attr)
}

// AllSignals are those that can be held: not those of a thread's own doing.
const AllSignals uint64 = ^uint64(1<<(SIGTRAP-1) | 1<<(SIGSEGV-1) | 1<<(SIGBUS-1) | 1<<(SIGILL-1) | 1<<(SIGFPE-1) | 1<<(SIGSYS-1))

// SignalSet is the set of signals, bit n-1 for signal n.
func SignalSet(signals ...Signal) (set uint64) {
	for _, s := range signals {
		set |= 1 << (s - 1)
	}
	return set
}

// SigMask is the set of signals that processes started here begin with blocked, bit
// n-1 for signal n.
func SigMask() (uint64, error) {
	var mask unix.Sigset_t
	err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask)
	return mask.Val[0], err
}

// TakeSigMask has the calling thread, and the processes it starts, block the signals of
// the set mask only.
func TakeSigMask(mask uint64) error {
	return unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{Val: [16]uint64{mask}}, nil)
}

// WaitPeek blocks until some child or tracee of this process, whichever thread
// traces it, has an event to collect, and leaves it there (waitid(2), WNOWAIT).
// It fails with ECHILD when there is nothing to wait for.
func WaitPeek() error {
	var info [128]byte
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info[0])),
			unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|unix.WALL, 0, 0)
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// Getpid is this process's id.
func Getpid() int { return unix.Getpid() }

// Getppid is its parent's; 1 or a subreaper's once that has ended.
func Getppid() int { return unix.Getppid() }

// Getpgrp is this process's process group.
func Getpgrp() int { return unix.Getpgrp() }

// Dup2 makes to a duplicate of from, without close-on-exec.
func Dup2(from, to int) error { return unix.Dup3(from, to, 0) }

// Inherited is the descriptors above standard error that this process got from
// its parent and would pass on: those without close-on-exec. To be called before
// anything else opens descriptors.
func Inherited() []int {
	var fds []int
	for fd := 3; fd < 1024; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}
