package sys

import "golang.org/x/sys/unix"

// KernelRelease is the running kernel's, as uname -r prints it.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// MemoryTotal is the machine's usable memory in bytes (sysinfo(2)).
func MemoryTotal() uint64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return i.Totalram * uint64(i.Unit)
}
