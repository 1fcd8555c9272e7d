package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what tells one file from another and whether it has changed.
type Stat struct {
	Dev, Ino, Rdev uint64
	Size           int64
	Mtime          int64 // nanoseconds
	Mode           uint32
	Links          uint64
}

// IsRegular tells whether it is a file with content.
func (s Stat) IsRegular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// IsDirectory tells whether it is one.
func (s Stat) IsDirectory() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsCharDevice tells whether it is one.
func (s Stat) IsCharDevice() bool { return s.Mode&unix.S_IFMT == unix.S_IFCHR }

// IsSocket tells whether it is one.
func (s Stat) IsSocket() bool { return s.Mode&unix.S_IFMT == unix.S_IFSOCK }

// IsPipe tells whether it is one, with a name or without.
func (s Stat) IsPipe() bool { return s.Mode&unix.S_IFMT == unix.S_IFIFO }

// Mkdev is the device number of both.
func Mkdev(major, minor uint32) uint64 { return unix.Mkdev(major, minor) }

// StatFile tells of the file that path leads to.
func StatFile(path string) (Stat, error) {
	var st unix.Stat_t
	for {
		if err := unix.Stat(path, &st); err != unix.EINTR {
			return statOf(&st), err
		}
	}
}

// StatFD tells of the file of an open descriptor.
func StatFD(fd int) (Stat, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return statOf(&st), err
}

func statOf(st *unix.Stat_t) Stat {
	return Stat{Dev: st.Dev, Ino: st.Ino, Rdev: st.Rdev, Size: st.Size, Mtime: st.Mtim.Nano(), Mode: st.Mode, Links: st.Nlink}
}

// Seals is the seals of a memfd (F_GET_SEALS).
func Seals(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0) }

// PipeRoom is the capacity of a pipe in bytes (F_GETPIPE_SZ).
func PipeRoom(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0) }

// PeekPipe reads what is in a pipe of the given capacity and leaves it there
// (tee(2)).
func PeekPipe(fd, room int) ([]byte, error) {
	r, w, err := Pipe(O_CLOEXEC | O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer Close(r)
	defer Close(w)
	// Buffers may be partly filled: what counts is their number.
	if _, err := unix.FcntlInt(uintptr(w), unix.F_SETPIPE_SZ, room); err != nil {
		return nil, err
	}
	n, err := unix.Tee(fd, w, room, unix.SPLICE_F_NONBLOCK)
	if err == EAGAIN || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	for at := 0; at < len(b); {
		k, err := Read(r, b[at:])
		if err != nil {
			return nil, err
		}
		at += k
	}
	return b, nil
}

// Sync has the kernel write fd's file to its disk (fsync(2)).
func Sync(fd int) error { return unix.Fsync(fd) }

// TimerFDLeft is the time until a timerfd expires, 0 when it is not set, and its
// interval.
func TimerFDLeft(fd int) (left, interval time.Duration, err error) {
	var spec unix.ItimerSpec
	err = unix.TimerfdGettime(fd, &spec)
	return time.Duration(spec.Value.Nano()), time.Duration(spec.Interval.Nano()), err
}
