package guest

import (
	"testing"

	"popcorn/internal/sys"
)

func TestCatcherJudgesAsTheFilter(t *testing.T) {
	c, err := NewCatcher()
	if err != nil {
		t.Fatal(err)
	}
	const i386 = 0x40000003
	for _, s := range []struct {
		what string
		call sys.SyscallStop
		want bool
	}{
		{"munmap", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_MUNMAP}, true},
		{"munmap's number of another architecture", sys.SyscallStop{Arch: i386, Nr: sys.SYS_MUNMAP}, false},
		{"getppid", sys.SyscallStop{Arch: auditArch, Nr: 110}, false},
		{"mmap of new memory", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_MMAP, Args: [6]uint64{0, 4096, 3, 0x22}}, false},
		{"mmap in place", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_MMAP, Args: [6]uint64{4096, 4096, 3, 0x32}}, true},
		{"mmap of a file to be written", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_MMAP, Args: [6]uint64{0, 4096, 3, 2}}, true},
		{"madvise that drops", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_MADVISE, Args: [6]uint64{0, 4096, 4}}, true},
		{"madvise that does not", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_MADVISE, Args: [6]uint64{0, 4096, 14}}, false},
		{"clone of memory", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_CLONE, Args: [6]uint64{17}}, true},
		{"clone of a thread", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_CLONE, Args: [6]uint64{threadFlags}}, false},
		{"futex wait", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_FUTEX, Args: [6]uint64{4096, 128}}, false},
		{"futex lock with priority inheritance", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_FUTEX, Args: [6]uint64{4096, 128 | 6}}, true},
		{"upper halves do not count", sys.SyscallStop{Arch: auditArch, Nr: sys.SYS_CLONE, Args: [6]uint64{1<<40 | threadFlags}}, false},
	} {
		if got := c.Catches(s.call); got != s.want {
			t.Errorf("%s: %v, want %v", s.what, got, s.want)
		}
	}
}
