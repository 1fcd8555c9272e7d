package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// virtualLimit ends what hangs on an emulated machine.
const virtualLimit = 4 * time.Minute

// TestVirtualMachine: a host with another kernel does what those of namespaces do.
func TestVirtualMachine(t *testing.T) {
	l := withProbe(t, 2, VM("b", Virtual{Kernel: NeedKernel(t, "6.12"), Memory: 256}))
	ctx, cancel := context.WithTimeout(t.Context(), virtualLimit)
	defer cancel()
	b := l.Host("b")
	release, err := b.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || !strings.HasPrefix(string(release), "6.12.") {
		t.Errorf("release %q, %v", release, err)
	}
	if out, err := b.Command(ctx, "probe", "name").Output(); err != nil || string(out) != "b 0\n" {
		t.Errorf("host name and user: %q, %v", out, err)
	}
	cmd := b.Command(ctx, "probe", "cat")
	text := strings.Repeat("through ", 40_000)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.Output(); err != nil || string(out) != text {
		t.Errorf("streams: %d bytes of %d, %v", len(out), len(text), err)
	}
	for code, argv := range map[int][]string{7: {"probe", "exit", "7"}, 137: {"probe", "die"}, exitNotFound: {"/no/thing"}} {
		var exit *exec.ExitError
		if err := b.Command(ctx, argv...).Run(); !errors.As(err, &exit) || exit.ExitCode() != code {
			t.Errorf("%v: %v, want code %d", argv, err, code)
		}
	}
	b.WriteFile("/var/lib/some/file", []byte("content"), 0o600)
	if got, err := b.ReadFile("/var/lib/some/file"); string(got) != "content" || err != nil {
		t.Errorf("file: %q, %v", got, err)
	}
	if _, err := b.ReadFile("/no/file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	t.Run("processes", func(t *testing.T) { virtualProcesses(t, ctx, b) })
	t.Run("power", func(t *testing.T) { virtualPower(t, ctx, l) })
}

func virtualProcesses(t *testing.T, ctx context.Context, b *Host) {
	p, err := b.Start(b.Command(ctx, "probe", "wait"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.Processes()
	if err != nil || !slices.ContainsFunc(list, func(q Process) bool { return q.PID == p.PID && q.Name == "probe" }) {
		t.Errorf("process %d is not in %v, %v", p.PID, list, err)
	}
	if err := b.Kill(p.PID, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if p.Wait(); p.Cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("it ended with %v", p.Cmd.ProcessState)
	}
	// A command dies with who stands for it.
	if p, err = b.Start(b.Command(ctx, "probe", "wait")); err != nil {
		t.Fatal(err)
	}
	p.Cmd.Process.Kill()
	for there := true; there && ctx.Err() == nil; {
		if list, err = b.Processes(); err != nil {
			t.Fatal(err)
		}
		there = slices.ContainsFunc(list, func(q Process) bool { return q.PID == p.PID })
	}
	if ctx.Err() != nil {
		t.Errorf("process %d outlived its door", p.PID)
	}
}

// virtualPower: connections with the network of the others, and the end of the
// machine, which ends its commands too.
func virtualPower(t *testing.T, ctx context.Context, l *Lab) {
	a, b := l.Host("a"), l.Host("b")
	p, err := b.Start(b.Command(ctx, "probe", "wait"))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := a.Dial(ctx, "tcp", b.Addr.String()+":1"); err != nil {
		t.Errorf("connect from another host: %v", err)
	} else {
		c.Close()
	}
	m, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.(*virtual).shutDown(); err != nil {
		t.Error(err)
	}
	if err := b.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if p.Wait(); p.Cmd.ProcessState.ExitCode() != 137 {
		t.Errorf("a command on a host that was switched off: %v", p.Cmd.ProcessState)
	}
	if _, err := b.ReadFile("/etc/hostname"); !errors.Is(err, errOff) {
		t.Errorf("read of a host that is off: %v", err)
	}
}
