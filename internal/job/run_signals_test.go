package job

import (
	"os/exec"
	"runtime"
	"testing"

	"popcorn/internal/sys"
)

// start runs a command that is ended with the test.
func start(t *testing.T, argv ...string) int {
	t.Helper()
	c := exec.Command(argv[0], argv[1:]...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return c.Process.Pid
}

// A signal to a process that cannot run is pending, and would end it.
func TestDefaultActionPending(t *testing.T) {
	pid := start(t, "sleep", "100")
	if err := sys.Kill(pid, sys.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for firstThreadState(pid) != 'T' {
		runtime.Gosched()
	}
	if open, pending := defaultAction(pid, sys.SIGTERM); !open || pending {
		t.Errorf("before the signal: open %v, pending %v", open, pending)
	}
	if err := sys.Kill(pid, sys.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if open, pending := defaultAction(pid, sys.SIGTERM); !open || !pending {
		t.Errorf("after the signal: open %v, pending %v", open, pending)
	}
}

// A signal that comes before there is a program reaches it.
func TestSignalBeforeProgram(t *testing.T) {
	l := &launcher{}
	l.forward(sys.SIGTERM)
	c := exec.Command("sleep", "100")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	l.begun(c.Process.Pid)
	if err := c.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the program ended with %v", err)
	}
}

// What a process expects, or has blocked, does not end it.
func TestDefaultActionOfOurs(t *testing.T) {
	// The Go run time has a handler for nearly every signal.
	if open, _ := defaultAction(sys.Getpid(), sys.SIGTERM); open {
		t.Error("SIGTERM would end this process, which has a handler")
	}
	if open, _ := defaultAction(1<<30, sys.SIGTERM); open {
		t.Error("a process that is not there would be ended")
	}
}

func TestFirstThreadState(t *testing.T) {
	if got := firstThreadState(sys.Getpid()); got != 'R' && got != 'S' {
		t.Errorf("state of this process is %q", got)
	}
	if !isZombie(1 << 30) {
		t.Error("a process that is not there still runs")
	}
}
