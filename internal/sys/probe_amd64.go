package sys

import "golang.org/x/sys/cpu"

// testXSave asks whether the system saves registers by xsave.
func testXSave() error {
	if !cpu.X86.HasOSXSAVE {
		return ENOSYS
	}
	return nil
}
