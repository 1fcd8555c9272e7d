package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Errno is the kernel's error number; every error of this package is one or wraps one.
type Errno = unix.Errno

// Signal is a signal number; 0 means none where a signal may be given.
type Signal = unix.Signal

// Rusage is what wait4 tells about a dead child's use of resources.
type Rusage = unix.Rusage

// SysProcAttr is what os.ProcAttr.Sys wants, so that starters of processes need
// not import syscall.
type SysProcAttr = syscall.SysProcAttr

// toErr makes an error of e: nil for 0. Values below 256 do not allocate.
func toErr(e Errno) error {
	if e == 0 {
		return nil
	}
	return e
}
