package sys

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MayFault tells whether a process may make a userfaultfd that system calls can
// fault by, from the lines CapEff, Uid, Gid and Groups of its status (proc(5)): by
// its capabilities, by the system's setting, or by the permissions of the device.
func MayFault(capEff, uid, gid, groups string) bool {
	caps, err := strconv.ParseUint(capEff, 16, 64)
	if err == nil && caps>>unix.CAP_SYS_PTRACE&1 != 0 {
		return true
	}
	if b, err := os.ReadFile("/proc/sys/vm/unprivileged_userfaultfd"); err == nil && strings.TrimSpace(string(b)) == "1" {
		return true
	}
	var st unix.Stat_t
	if unix.Stat(DevUFFD, &st) != nil {
		return false
	}
	const effective = 1 // of real, effective, saved, file system
	switch ids := append([]string{field(gid, effective)}, strings.Fields(groups)...); {
	case field(uid, effective) == strconv.Itoa(int(st.Uid)):
		return st.Mode&0o600 == 0o600
	case has(ids, strconv.Itoa(int(st.Gid))):
		return st.Mode&0o060 == 0o060
	}
	return st.Mode&0o006 == 0o006
}

func field(line string, i int) string {
	if f := strings.Fields(line); i < len(f) {
		return f[i]
	}
	return ""
}

func has(list []string, s string) bool {
	for _, o := range list {
		if o == s {
			return true
		}
	}
	return false
}
