package sys

import "golang.org/x/sys/unix"

// Open is openat(2) from the current directory, going on after EINTR.
func Open(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Close closes fd. It is never repeated: after EINTR the descriptor is gone.
func Close(fd int) error { return unix.Close(fd) }

// Dup is a duplicate of fd that is closed on exec.
func Dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

// SetCloexec sets whether exec closes fd.
func SetCloexec(fd int, on bool) error {
	flag := 0
	if on {
		flag = unix.FD_CLOEXEC
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag)
	return err
}

// SetNonblock sets whether calls on fd's open file description block.
func SetNonblock(fd int, on bool) error { return unix.SetNonblock(fd, on) }

// Pipe is a pipe; flags as for open.
func Pipe(flags int) (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], flags)
	return p[0], p[1], err
}

// TryLock takes the whole file of fd for this open file description alone,
// until it is closed; EWOULDBLOCK when another has it (flock(2)).
func TryLock(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }

// IsTerminal tells whether fd is a terminal (isatty(3)).
func IsTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}
