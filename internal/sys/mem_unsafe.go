package sys

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FutexWake wakes up to n waiters on addr, which lies in memory shared with
// other processes, and returns how many it woke.
func FutexWake(addr *uint32, n int) (int, error) {
	woken, _, e := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), FUTEX_WAKE, uintptr(n), 0, 0, 0)
	return int(woken), toErr(e)
}

// FutexWait sleeps while *addr is val until FutexWake, also by other processes,
// at most timeout (none when negative). EAGAIN when *addr is not val, ETIMEDOUT,
// EINTR; nil may be spurious: look again.
func FutexWait(addr *uint32, val uint32, timeout time.Duration) error {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	_, _, e := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), FUTEX_WAIT, uintptr(val),
		uintptr(unsafe.Pointer(ts)), 0, 0)
	return toErr(e)
}

// GetRobustList is where the thread's list of robust futexes starts, and the
// head's length in bytes. It needs the right to ptrace (EPERM).
func GetRobustList(tid int) (head, length uint64, err error) {
	_, _, e := unix.Syscall(unix.SYS_GET_ROBUST_LIST, uintptr(tid),
		uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&length)))
	return head, length, toErr(e)
}

// Categories of pages for PagemapScan (linux/fs.h).
const (
	PageIsWPAllowed = 1 << 0
	PageIsWritten   = 1 << 1
	PageIsFile      = 1 << 2
	PageIsPresent   = 1 << 3
	PageIsSwapped   = 1 << 4
	PageIsPFNZero   = 1 << 5
	PageIsHuge      = 1 << 6
)

// PageRegion is a range of addresses whose pages share their categories.
type PageRegion struct{ Start, End, Categories uint64 }

// pmScanArg is struct pm_scan_arg of linux/fs.h.
type pmScanArg struct {
	size, flags, start, end, walkEnd uint64
	vec                              unsafe.Pointer
	vecLen, maxPages                 uint64
	inverted, mask, anyOf, ret       uint64
}

const pagemapScan = 0xc0606610

// PagemapScan finds the pages of [start, end) in at least one of the categories
// anyOf and puts them into buf as regions, up to walkEnd, from where to go on
// when buf was full. ENOTTY before 6.7.
func PagemapScan(pagemapFD int, start, end, anyOf uint64, buf []PageRegion) (n int, walkEnd uint64, err error) {
	a := pmScanArg{size: uint64(unsafe.Sizeof(pmScanArg{})), start: start, end: end,
		vec: unsafe.Pointer(unsafe.SliceData(buf)), vecLen: uint64(len(buf)), anyOf: anyOf, ret: anyOf}
	got, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(pagemapFD), pagemapScan, uintptr(unsafe.Pointer(&a)))
	if e != 0 {
		return 0, start, e
	}
	return int(got), a.walkEnd, nil
}

// PagemapHeld is PagemapScan for the pages that a process has something in,
// present or swapped out; it also tells those that are a file's or the zero page.
func PagemapHeld(pagemapFD int, start, end uint64, buf []PageRegion) (n int, walkEnd uint64, err error) {
	a := pmScanArg{size: uint64(unsafe.Sizeof(pmScanArg{})), start: start, end: end,
		vec: unsafe.Pointer(unsafe.SliceData(buf)), vecLen: uint64(len(buf)), anyOf: PageIsPresent | PageIsSwapped,
		ret: PageIsPresent | PageIsSwapped | PageIsFile | PageIsPFNZero}
	got, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(pagemapFD), pagemapScan, uintptr(unsafe.Pointer(&a)))
	if e != 0 {
		return 0, start, e
	}
	return int(got), a.walkEnd, nil
}
