package lab

import (
	"testing"

	"popcorn/internal/sys"
)

// watchOuter returns a function, to be called once, that waits for the end of a
// process of the machine.
func watchOuter(t *testing.T, pid int) func() {
	t.Helper()
	fd, err := sys.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer sys.Close(fd)
		if !sys.AwaitPidfd(fd, limit) {
			t.Errorf("process %d is still there after %v", pid, limit)
		}
	}
}
