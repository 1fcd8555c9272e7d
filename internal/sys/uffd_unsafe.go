package sys

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The argument structures of linux/userfaultfd.h. Their sizes are part of the
// request numbers, which a test compares.
type (
	uffdAPI          struct{ api, features, ioctls uint64 }
	uffdRange        struct{ start, length uint64 }
	uffdRegister     struct{ start, length, mode, ioctls uint64 }
	uffdZeroPage     struct{ start, length, mode, done uint64 }
	uffdWriteProtect struct{ start, length, mode uint64 }
	uffdCopy         struct {
		dst    uint64
		src    unsafe.Pointer // ours, so it must stay a pointer the collector sees
		length uint64
		mode   uint64
		copied int64
	}
	uffdMsg struct {
		event uint8
		_     [7]byte
		flags uint64
		addr  uint64
		ptid  uint32
		_     uint32
	}
)

// maxMsgs bounds one ReadFaults, whose buffer lives on the stack.
const maxMsgs = 64

// Handshake opens the conversation (UFFDIO_API) and asks for the features want.
// It returns all the kernel has. It may be done once per descriptor; EINVAL
// when the kernel lacks one of want.
func (u *UFFD) Handshake(want uint64) (features uint64, err error) {
	a := uffdAPI{api: uffdAPIVersion, features: want}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(u.fd), uffdioAPI, uintptr(unsafe.Pointer(&a)))
	return a.features, toErr(e)
}

// Register asks for the faults in mode of the range (multiples of the page
// size). EINVAL for what cannot be registered (private file mappings, holes),
// EBUSY when another userfaultfd has it, ESRCH the process is gone.
func (u *UFFD) Register(start, length, mode uint64) (ioctls uint64, err error) {
	a := uffdRegister{start: start, length: length, mode: mode}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(u.fd), uffdioRegister, uintptr(unsafe.Pointer(&a)))
	return a.ioctls, u.registering(e)
}

// registering makes ESRCH of what the kernel says when the process is gone.
func (u *UFFD) registering(e unix.Errno) error {
	if e == unix.ENOMEM && u.processGone() {
		return ESRCH
	}
	return toErr(e)
}

// processGone tells whether the process has no memory any more. The kernel's
// userfaultfd_register and its reverse say ENOMEM of that; userfaultfd_writeprotect tells it
// from a page that is not registered.
func (u *UFFD) processGone() bool {
	const neverMapped = 1<<47 - 2*PageSize // the last page of user addresses
	return u.WriteProtect(neverMapped, PageSize, false) == unix.ESRCH
}

// Unregister ends that and wakes whoever waits in the range. ESRCH the process is gone.
func (u *UFFD) Unregister(start, length uint64) error {
	a := uffdRange{start, length}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(u.fd), uffdioUnregister, uintptr(unsafe.Pointer(&a)))
	return u.registering(e)
}

// Copy installs src at dst (both lengths multiples of the page size, src
// anywhere) and wakes the waiters of what was installed; wp installs it
// write-protected. copied is the bytes installed, also beside an error:
// EEXIST a page is present there, EAGAIN mappings are changing or only a part
// was done, ENOENT no mapping, ESRCH the process is gone.
func (u *UFFD) Copy(dst uint64, src []byte, wp bool) (copied int64, err error) {
	return u.copy(dst, src, wp, 0)
}

// CopyNoWake is Copy without waking; Wake must follow.
func (u *UFFD) CopyNoWake(dst uint64, src []byte, wp bool) (copied int64, err error) {
	return u.copy(dst, src, wp, copyDontWake)
}

func (u *UFFD) copy(dst uint64, src []byte, wp bool, mode uint64) (int64, error) {
	if wp {
		mode |= copyWP
	}
	a := uffdCopy{dst: dst, src: unsafe.Pointer(unsafe.SliceData(src)), length: uint64(len(src)), mode: mode}
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(u.fd), uffdioCopy, uintptr(unsafe.Pointer(&a)))
	runtime.KeepAlive(src)
	return max(a.copied, 0), toErr(e) // a refused copy leaves -errno there
}

// ZeroPage installs zero pages and wakes their waiters; errors as for Copy.
func (u *UFFD) ZeroPage(dst, length uint64) error {
	_, err := u.ZeroRange(dst, length)
	return err
}

// ZeroRange is ZeroPage that tells how many bytes were done, also beside an error.
func (u *UFFD) ZeroRange(dst, length uint64) (done int64, err error) {
	return u.fill(uffdioZeroPage, dst, length)
}

// WriteProtect makes the next write to each page present in the range a fault,
// and returns after the TLB flush: nobody is writing any more (but pinned
// pages). With protect false it allows writing and wakes the waiters. ENOENT
// when the range is not registered for it, EAGAIN while mappings change.
func (u *UFFD) WriteProtect(start, length uint64, protect bool) error {
	a := uffdWriteProtect{start: start, length: length}
	if protect {
		a.mode = wpProtect
	}
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(u.fd), uffdioWriteProtect, uintptr(unsafe.Pointer(&a)))
	return toErr(e)
}

// Wake lets the waiters in the range try again.
func (u *UFFD) Wake(start, length uint64) error {
	a := uffdRange{start, length}
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(u.fd), uffdioWake, uintptr(unsafe.Pointer(&a)))
	return toErr(e)
}

// Poison makes every access to the range a SIGBUS, for pages that can never
// come, and wakes the waiters (6.6 and newer). EEXIST where a page is present.
func (u *UFFD) Poison(start, length uint64) error {
	_, err := u.fill(uffdioPoison, start, length)
	return err
}

// Continue maps pages that are in the cache already (minor faults) and wakes
// their waiters. EEXIST where one is mapped, EFAULT where the cache has none.
func (u *UFFD) Continue(start, length uint64) error {
	_, err := u.fill(uffdioContinue, start, length)
	return err
}

// fill is the shape that ZEROPAGE, CONTINUE and POISON share.
func (u *UFFD) fill(req uintptr, start, length uint64) (int64, error) {
	a := uffdZeroPage{start: start, length: length}
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(u.fd), req, uintptr(unsafe.Pointer(&a)))
	return max(int64(a.done), 0), toErr(e)
}

// ReadFaults does one read(2) of at most len(buf) messages (no more than 64)
// and returns the page faults among them; n may be 0 when all were other
// events. It blocks on a blocking descriptor and is EAGAIN on another.
func (u *UFFD) ReadFaults(buf []Fault) (n int, err error) {
	var msgs [maxMsgs]uffdMsg
	size := min(len(buf), maxMsgs) * int(unsafe.Sizeof(msgs[0]))
	got, _, e := unix.Syscall(unix.SYS_READ, uintptr(u.fd), uintptr(unsafe.Pointer(&msgs)), uintptr(size))
	for e == unix.EINTR {
		got, _, e = unix.Syscall(unix.SYS_READ, uintptr(u.fd), uintptr(unsafe.Pointer(&msgs)), uintptr(size))
	}
	if e != 0 {
		return 0, e
	}
	return faultsOf(msgs[:got/unsafe.Sizeof(msgs[0])], buf), nil
}

// TryFaults is ReadFaults of a non-blocking descriptor, and only of that.
func (u *UFFD) TryFaults(buf []Fault) (n int, err error) {
	var msgs [maxMsgs]uffdMsg
	size := min(len(buf), maxMsgs) * int(unsafe.Sizeof(msgs[0]))
	got, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(u.fd), uintptr(unsafe.Pointer(&msgs)), uintptr(size))
	if e != 0 {
		return 0, e
	}
	return faultsOf(msgs[:got/unsafe.Sizeof(msgs[0])], buf), nil
}

// faultsOf puts the page faults among msgs in buf.
func faultsOf(msgs []uffdMsg, buf []Fault) (n int) {
	for i := range msgs {
		if m := &msgs[i]; m.event == uffdEventPagefault {
			buf[n] = m.fault()
			n++
		}
	}
	return n
}

func (m *uffdMsg) fault() Fault {
	return Fault{
		Addr:  m.addr,
		Write: m.flags&uffdFlagWrite != 0,
		WP:    m.flags&uffdFlagWP != 0,
		Minor: m.flags&uffdFlagMinor != 0,
		TID:   int(m.ptid),
	}
}
