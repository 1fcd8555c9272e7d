package sys

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Memfd makes an anonymous file, close-on-exec. It is made executable (its
// pages may be mapped PROT_EXEC) also where vm.memfd_noexec makes that not the
// default; EACCES where that forbids it.
func Memfd(name string, flags int) (int, error) {
	flags |= unix.MFD_CLOEXEC
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // MFD_EXEC is of 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

// Seek sets fd's offset.
func Seek(fd int, at int64) error {
	_, err := unix.Seek(fd, at, 0)
	return err
}

// Ftruncate sets the size of fd's file in bytes.
func Ftruncate(fd int, size int64) error {
	for {
		if err := unix.Ftruncate(fd, size); err != unix.EINTR {
			return err
		}
	}
}

// PunchHole gives the bytes [off, off+n) of fd's file back and takes them from
// every mapping of it, also in other processes: they read as zeros or fault.
func PunchHole(fd int, off, n int64) error {
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	for {
		if err := unix.Fallocate(fd, mode, off, n); err != unix.EINTR {
			return err
		}
	}
}

// Pread reads at off, going on after EINTR but not after a short read. Offsets
// in /proc/PID/mem are guest addresses: EIO where there is no page to be had.
func Pread(fd int, b []byte, off int64) (int, error) {
	for {
		if n, err := unix.Pread(fd, b, off); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Pwrite writes at off, going on after EINTR but not after a short write.
func Pwrite(fd int, b []byte, off int64) (int, error) {
	for {
		if n, err := unix.Pwrite(fd, b, off); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Mmap maps fd (-1 with MAP_ANONYMOUS) into this process. Only Munmap of the
// very same slice ends it.
func Mmap(fd int, off int64, length, prot, flags int) ([]byte, error) {
	return unix.Mmap(fd, off, length, prot, flags)
}

// Munmap ends a mapping made by Mmap.
func Munmap(b []byte) error { return unix.Munmap(b) }

// Madvise advises on this process's memory b, which starts at a page.
func Madvise(b []byte, advice int) error { return unix.Madvise(b, advice) }

// Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const (
	pagemapPresent = 1 << 63
	pagemapSwapped = 1 << 62
	pagemapBatch   = 512
)

// PagemapUntouched tells whether none of the pages is present or swapped out,
// reading the open /proc/PID/pagemap. Bit 61 (a page of a file) comes only with
// one of these two, so it adds nothing. Leftovers of write protection or poison
// count as swapped: the answer errs towards touched. It is also true of
// addresses without a mapping, and of shared mappings it says only what this
// process mapped, not what the file holds: ask for private anonymous memory.
func PagemapUntouched(pagemapFD int, start uint64, pages int) (bool, error) {
	var buf [8 * pagemapBatch]byte
	off := int64(start / PageSize * 8)
	for pages > 0 {
		b := buf[:8*min(pages, pagemapBatch)]
		n, err := Pread(pagemapFD, b, off)
		if err != nil {
			return false, fmt.Errorf("read pagemap at %#x: %w", start, err)
		}
		if n < 8 { // beyond the address space, or the process is gone
			return false, fmt.Errorf("read pagemap at %#x: %w", start, ESRCH)
		}
		n &^= 7
		for i := 0; i < n; i += 8 {
			if binary.NativeEndian.Uint64(b[i:])&(pagemapPresent|pagemapSwapped) != 0 {
				return false, nil
			}
		}
		off += int64(n)
		pages -= n / 8
	}
	return true, nil
}
