package sys

import (
	"os"
	"strings"
	"testing"
)

func TestMayFault(t *testing.T) {
	if !MayFault("0000000000080000", "1000\t1000\t1000\t1000", "1000\t1000\t1000\t1000", "") {
		t.Error("CAP_SYS_PTRACE does not suffice")
	}
	setting, _ := os.ReadFile("/proc/sys/vm/unprivileged_userfaultfd")
	if strings.TrimSpace(string(setting)) == "1" {
		t.Skip("everybody may on this machine")
	}
	fi, err := os.Stat(DevUFFD)
	if err != nil || fi.Mode().Perm()&0o006 != 0 {
		t.Skip("the device is open to everybody, or there is none")
	}
	if MayFault("0000000000000000", "65533\t65533\t65533\t65533", "65533\t65533\t65533\t65533", "") {
		t.Error("a user without rights may")
	}
	uid, gid := FileOwner(fi)
	if uid != 0 || gid != 0 || fi.Mode().Perm()&0o600 != 0o600 {
		t.Skip("the device is not root's")
	}
	if !MayFault("0", "0\t0\t0\t0", "0\t0\t0\t0", "0") {
		t.Error("the owner of the device may not")
	}
}
