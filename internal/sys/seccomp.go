package sys

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Operations and flags of seccomp(2) and what a filter returns.
const (
	SECCOMP_SET_MODE_FILTER  = unix.SECCOMP_SET_MODE_FILTER
	SECCOMP_GET_ACTION_AVAIL = unix.SECCOMP_GET_ACTION_AVAIL

	SECCOMP_FILTER_FLAG_TSYNC              = unix.SECCOMP_FILTER_FLAG_TSYNC
	SECCOMP_FILTER_FLAG_NEW_LISTENER       = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	SECCOMP_FILTER_FLAG_TSYNC_ESRCH        = unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV

	SECCOMP_RET_KILL_PROCESS = unix.SECCOMP_RET_KILL_PROCESS
	SECCOMP_RET_KILL_THREAD  = unix.SECCOMP_RET_KILL_THREAD
	SECCOMP_RET_TRAP         = unix.SECCOMP_RET_TRAP
	SECCOMP_RET_ERRNO        = unix.SECCOMP_RET_ERRNO
	SECCOMP_RET_USER_NOTIF   = unix.SECCOMP_RET_USER_NOTIF
	SECCOMP_RET_TRACE        = unix.SECCOMP_RET_TRACE
	SECCOMP_RET_LOG          = unix.SECCOMP_RET_LOG
	SECCOMP_RET_ALLOW        = unix.SECCOMP_RET_ALLOW
	SECCOMP_RET_DATA         = unix.SECCOMP_RET_DATA
	SECCOMP_RET_ACTION_FULL  = unix.SECCOMP_RET_ACTION_FULL
)

// Offsets into struct seccomp_data, what a filter loads from (linux/seccomp.h).
const (
	SeccompDataNr   = 0  // uint32
	SeccompDataArch = 4  // uint32
	SeccompDataIP   = 8  // uint64, of the instruction after the call
	SeccompDataArgs = 16 // six uint64
)

const notifContinue = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE

// Notif is a system call that waits for an answer (struct seccomp_notif).
type Notif struct {
	ID   uint64 // names this notification, valid until answered
	PID  int    // the calling thread, in the listener's pid namespace
	Arch uint32
	Nr   int
	IP   uint64 // of the instruction after the call
	Args [6]uint64
}

// BPFInstr is one instruction of a filter, struct sock_filter.
type BPFInstr struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// BPFInstrSize is an encoded instruction's size in bytes.
const BPFInstrSize = 8

// EncodeFilter is the sock_filter array of prog as bytes, to write into a guest.
func EncodeFilter(prog []bpf.RawInstruction) []byte {
	b := make([]byte, 0, BPFInstrSize*len(prog))
	for _, i := range prog {
		b = binary.NativeEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b
}

// NotifContinue answers id by letting the kernel perform the call unchanged.
func NotifContinue(fd int, id uint64) error {
	return notifSend(fd, id, 0, 0, notifContinue)
}

// NotifSend answers id: the call returns -errno, or val when errno is 0. ENOENT
// when nobody waits for it any more (the thread died, or was interrupted
// without WAIT_KILLABLE_RECV).
func NotifSend(fd int, id uint64, val int64, errno Errno) error {
	return notifSend(fd, id, val, -int32(errno), 0)
}

// NotifSyncWakeup makes the wake-ups of both sides stay on the waker's CPU,
// which halves a round trip (6.6 and newer, else EINVAL). Once per listener.
func NotifSyncWakeup(fd int) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS,
		unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	return toErr(e)
}
