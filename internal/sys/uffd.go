package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Features of userfaultfd (linux/userfaultfd.h), as asked for and answered by
// Handshake.
const (
	UFFD_FEATURE_PAGEFAULT_FLAG_WP  = 1 << 0
	UFFD_FEATURE_EVENT_FORK         = 1 << 1
	UFFD_FEATURE_EVENT_REMAP        = 1 << 2
	UFFD_FEATURE_EVENT_REMOVE       = 1 << 3
	UFFD_FEATURE_MISSING_HUGETLBFS  = 1 << 4
	UFFD_FEATURE_MISSING_SHMEM      = 1 << 5
	UFFD_FEATURE_EVENT_UNMAP        = 1 << 6
	UFFD_FEATURE_SIGBUS             = 1 << 7
	UFFD_FEATURE_THREAD_ID          = 1 << 8
	UFFD_FEATURE_MINOR_HUGETLBFS    = 1 << 9
	UFFD_FEATURE_MINOR_SHMEM        = 1 << 10
	UFFD_FEATURE_EXACT_ADDRESS      = 1 << 11
	UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 1 << 12
	UFFD_FEATURE_WP_UNPOPULATED     = 1 << 13
	UFFD_FEATURE_POISON             = 1 << 14
	UFFD_FEATURE_WP_ASYNC           = 1 << 15
	UFFD_FEATURE_MOVE               = 1 << 16
)

// Modes of Register: which faults of the range are reported.
const (
	RegisterModeMissing = 1 << 0 // no page in the page table (and, for shmem, none in the cache)
	RegisterModeWP      = 1 << 1 // a write to a write-protected page
	RegisterModeMinor   = 1 << 2 // page in the cache, not in the page table
)

// Flags of CreateUFFD and OpenDevUFFD.
const (
	UFFD_CLOEXEC        = unix.O_CLOEXEC
	UFFD_NONBLOCK       = unix.O_NONBLOCK
	UFFD_USER_MODE_ONLY = 1
)

// Requests of userfaultfd, the numbers of _IOWR and _IOR in linux/userfaultfd.h.
const (
	USERFAULTFD_IOC_NEW = 0xaa00

	uffdioAPI          = 0xc018aa3f
	uffdioRegister     = 0xc020aa00
	uffdioUnregister   = 0x8010aa01
	uffdioWake         = 0x8010aa02
	uffdioCopy         = 0xc028aa03
	uffdioZeroPage     = 0xc020aa04
	uffdioWriteProtect = 0xc018aa06
	uffdioContinue     = 0xc020aa07
	uffdioPoison       = 0xc020aa08

	uffdAPIVersion     = 0xaa
	uffdEventPagefault = 0x12
	uffdFlagWrite      = 1 << 0
	uffdFlagWP         = 1 << 1
	uffdFlagMinor      = 1 << 2

	copyDontWake = 1 << 0
	copyWP       = 1 << 1
	wpProtect    = 1 << 0
)

// UFFD is a userfaultfd. It may be bound to another process's memory: all
// addresses are that process's. Methods may be called from several threads.
type UFFD struct{ fd int }

// NewUFFD wraps fd, which it owns from then on.
func NewUFFD(fd int) *UFFD { return &UFFD{fd: fd} }

// FD is the descriptor, still owned by u.
func (u *UFFD) FD() int { return u.fd }

// Close drops this holder. When the last holder goes, the kernel unregisters
// every range and missing pages silently become zero pages.
func (u *UFFD) Close() error { return Close(u.fd) }

// Fault is one page fault as userfaultfd(2) reports it. The same fault may be
// reported more than once.
type Fault struct {
	Addr  uint64 // page-aligned unless EXACT_ADDRESS was asked for
	Write bool   // by a write
	WP    bool   // the page is there, write-protected
	Minor bool   // the page is in the cache, not in the page table
	TID   int    // the faulting thread, in the reader's pid namespace; 0 without THREAD_ID
}

// CreateUFFD makes a userfaultfd for this process's memory. Without privilege
// it is EPERM unless vm.unprivileged_userfaultfd is 1 or flags hold
// UFFD_USER_MODE_ONLY (with which system calls cannot fault).
func CreateUFFD(flags int) (int, error) {
	fd, _, e := unix.Syscall(unix.SYS_USERFAULTFD, uintptr(flags), 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

// DevUFFD is the device whose permissions grant userfaultfd (6.1 and newer).
const DevUFFD = "/dev/userfaultfd"

// OpenDevUFFD makes a userfaultfd for this process's memory by /dev/userfaultfd.
func OpenDevUFFD(flags int) (int, error) {
	dev, err := Open(DevUFFD, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", DevUFFD, err)
	}
	defer Close(dev)
	fd, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), USERFAULTFD_IOC_NEW, uintptr(flags))
	if e != 0 {
		return -1, fmt.Errorf("create userfaultfd by %s: %w", DevUFFD, e)
	}
	return int(fd), nil
}
