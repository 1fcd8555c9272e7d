package sys

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cred is who a process is: unix(7), SO_PEERCRED.
type Cred struct {
	PID      int
	UID, GID uint32
}

// PeerCred returns who connected at the other end of c, as the kernel noted it
// at connect(2).
func PeerCred(c *net.UnixConn) (Cred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Cred{}, fmt.Errorf("read peer credentials: %w", err)
	}
	var u *unix.Ucred
	var opt error
	err = raw.Control(func(fd uintptr) {
		u, opt = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = opt
	}
	if err != nil {
		return Cred{}, fmt.Errorf("read peer credentials: %w", err)
	}
	return Cred{PID: int(u.Pid), UID: u.Uid, GID: u.Gid}, nil
}

// FileOwner returns the owner and group of a file that os.Stat or os.Lstat
// described.
func FileOwner(fi os.FileInfo) (uid, gid uint32) {
	st := fi.Sys().(*syscall.Stat_t) // always so on Linux
	return st.Uid, st.Gid
}

// SignalByName returns the signal called name: a number, TERM or SIGTERM.
func SignalByName(name string) (Signal, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return Signal(n), n >= 1 && n <= 64
	}
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	s := unix.SignalNum(name)
	return s, s != 0
}

// MayExecute tells whether this process may execute the file path, by
// faccessat(2) with the effective ids.
func MayExecute(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}
