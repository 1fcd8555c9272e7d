package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// procmapQuery is struct procmap_query of linux/fs.h.
type procmapQuery struct {
	size, flags, addr               uint64
	vmaStart, vmaEnd, vmaFlags      uint64
	pageSize, offset, inode         uint64
	major, minor, nameLen, buildLen uint32
	name                            unsafe.Pointer
	buildID                         uint64
}

const (
	procmapQueryReq = 0xc0686611

	vmaReadable   = 1 << 0
	vmaWritable   = 1 << 1
	vmaExecutable = 1 << 2
	vmaShared     = 1 << 3
)

// QueryVMA asks the open /proc/PID/maps for the mapping that covers addr
// (PROCMAP_QUERY): a few microseconds instead of the whole text. ENOENT when
// there is none; ENOTTY before 6.11, then use ParseMaps; ESRCH when the process
// is gone; ENAMETOOLONG for a path longer than PATH_MAX.
func QueryVMA(mapsFD int, addr uint64) (VMA, error) {
	var name [unix.PathMax]byte
	q := procmapQuery{addr: addr, name: unsafe.Pointer(&name), nameLen: uint32(len(name))}
	q.size = uint64(unsafe.Sizeof(q))
	for {
		_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(mapsFD), procmapQueryReq, uintptr(unsafe.Pointer(&q)))
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return VMA{}, e
		}
		return q.vma(name[:]), nil
	}
}

func (q *procmapQuery) vma(name []byte) VMA {
	v := VMA{
		Start: q.vmaStart, End: q.vmaEnd, Offset: q.offset, Inode: q.inode, Major: q.major, Minor: q.minor,
		Read:   q.vmaFlags&vmaReadable != 0,
		Write:  q.vmaFlags&vmaWritable != 0,
		Exec:   q.vmaFlags&vmaExecutable != 0,
		Shared: q.vmaFlags&vmaShared != 0,
	}
	if q.nameLen > 1 { // counts the zero at its end
		v.Name = string(name[:q.nameLen-1])
	}
	return v
}
