package job

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"popcorn/internal/control"
	"popcorn/internal/sys"
)

func refused(t *testing.T, pid int, says string) {
	t.Helper()
	if err := Examine(pid); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), says) {
		t.Errorf("process %d: %v, want a refusal with %q", pid, err, says)
	}
}

func TestExamine(t *testing.T) {
	runtime.LockOSThread() // it traces
	defer runtime.UnlockOSThread()
	pid := spawnEcho(t)
	if err := Examine(pid); err != nil && !strings.Contains(err.Error(), "may not use userfaultfd") {
		t.Errorf("an ordinary process: %v", err)
	}
	refused(t, os.Getpid(), "popcorn itself")
	if err := sys.Seize(pid, 0); err != nil {
		t.Skip(err)
	}
	refused(t, pid, "traced by process")
	sys.Kill(pid, sys.SIGKILL)
	sys.AwaitPidfd(mustPidfd(t, pid), endPatience)
	if err := Examine(pid); !errors.Is(err, control.ErrNoSuchJob) {
		t.Errorf("a zombie: %v", err)
	}
	sys.Wait(pid, 0)
	if err := Examine(pid); !errors.Is(err, control.ErrNoSuchJob) {
		t.Errorf("nobody: %v", err)
	}
}

// spawnEcho starts a program and returns when it runs: until shortly after Spawn its
// exec is under way, and it has no memory to look at.
func spawnEcho(t *testing.T) int {
	t.Helper()
	in, toIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromOut, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); toIn.Close(); fromOut.Close(); out.Close() })
	pid, err := sys.Spawn("/bin/cat", sys.SpawnAttr{Argv: []string{"cat"}, Env: os.Environ(), Files: []int{int(in.Fd()), int(out.Fd())}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := toIn.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := fromOut.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return pid
}

func mustPidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := sys.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(fd) })
	return fd
}

func TestExamineReasons(t *testing.T) {
	if why := filtered(0, map[string]string{"Seccomp": "2"}); why == "" {
		t.Error("a filter is no reason")
	}
	if why := ignoresTraps(0, map[string]string{"SigIgn": "0000000000000010"}); why == "" {
		t.Error("an ignored SIGTRAP is no reason")
	}
	for _, kernel := range []map[string]string{{"Tgid": "7", "Kthread": "1"}, {"Tgid": "7", "PPid": "2"}} {
		if why := notAProcess(7, kernel); !strings.Contains(why, "kernel") {
			t.Errorf("a thread of the kernel, %v: %q", kernel, why)
		}
	}
	if why := notAProcess(7, map[string]string{"Tgid": "7", "PPid": "2", "Kthread": "0"}); why != "" {
		t.Errorf("a child of process 2: %s", why)
	}
	if why := holdsKernelObjects(withUFFD(t), nil); !strings.Contains(why, "userfaultfd") {
		t.Errorf("a userfaultfd: %q", why)
	}
}

// withUFFD is a process that has a userfaultfd open.
func withUFFD(t *testing.T) int {
	t.Helper()
	fd, err := sys.CreateUFFD(0)
	if err != nil {
		t.Skip(err)
	}
	f := os.NewFile(uintptr(fd), "uffd")
	defer f.Close()
	cmd := exec.Command("sleep", "600")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid
}
