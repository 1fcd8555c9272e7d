package lab

import (
	"testing"

	"popcorn/internal/sys"
)

// watchOuter returns a function that waits for the end of a process of the
// machine.
func watchOuter(t *testing.T, pid int) func() {
	t.Helper()
	fd, err := sys.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(fd) })
	return func() {
		t.Helper()
		if !sys.AwaitPidfd(fd, limit) {
			t.Errorf("process %d is still there after %v", pid, limit)
		}
	}
}
