package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// begin starts cmd and returns its first line; the rest of its output waits in
// the pipe.
func begin(t *testing.T, h *Host, cmd *exec.Cmd) (*Program, string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd.Stdout = w
	p, err := h.Start(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(limit))
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("read first line: %v", err)
	}
	return p, strings.TrimSpace(line)
}

func TestCommand(t *testing.T) {
	l := withProbe(t, 1)
	a := l.Host("a")
	cmd := a.Command(within(t), "probe", "cat")
	cmd.Stdin = strings.NewReader("through\n")
	if out, err := cmd.Output(); err != nil || string(out) != "through\n" {
		t.Errorf("streams: %q, %v", out, err)
	}
	if got := run(t, a, "name"); got != "a 0\n" {
		t.Errorf("host name and user: %q", got)
	}
	for name, c := range map[string]struct {
		argv []string
		code int
	}{
		"its own code": {[]string{"probe", "exit", "7"}, 7},
		"a signal":     {[]string{"probe", "die"}, 137},
		"not found":    {[]string{"nothing"}, exitNotFound},
		"not there":    {[]string{"/no/thing"}, exitNotFound},
		"a text file":  {[]string{"/etc/passwd"}, exitCannot},
	} {
		t.Run(name, func(t *testing.T) {
			err := a.Command(within(t), c.argv...).Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.code {
				t.Errorf("%v, want code %d", err, c.code)
			}
			if _, err := a.Start(a.Command(within(t), c.argv...)); (err != nil) != (c.code == exitNotFound || c.code == exitCannot) {
				t.Errorf("start: %v", err)
			}
		})
	}
}

func TestExtraFilesReachTheCommand(t *testing.T) {
	a := withProbe(t, 1).Host("a")
	for _, report := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := a.Command(within(t), "probe", "cat", "/proc/self/fd/3")
		cmd.ExtraFiles = []*os.File{r}
		var out bytes.Buffer
		cmd.Stdout = &out
		io.WriteString(w, "extra")
		w.Close()
		if report {
			p, err := a.Start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Wait()
			if err != nil {
				t.Fatal(err)
			}
		} else if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if out.String() != "extra" {
			t.Errorf("with report %v: %q", report, out.String())
		}
	}
}

func TestSignalsGoThroughTheDoor(t *testing.T) {
	a := withProbe(t, 1).Host("a")
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
		cmd := a.Command(within(t), "probe", "signal")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		lines := bufio.NewScanner(r)
		lines.Scan()
		cmd.Process.Signal(sig)
		lines.Scan()
		if err := cmd.Wait(); err != nil || lines.Text() != sig.String() {
			t.Errorf("%v: it printed %q, %v", sig, lines.Text(), err)
		}
	}
}

// What the door's end must take with it: the command that only it knows.
func TestCommandDiesWithItsDoor(t *testing.T) {
	a := withProbe(t, 1).Host("a")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p, _ := begin(t, a, a.Command(ctx, "probe", "wait"))
	gone := watch(t, a, p.PID)
	cancel()
	if err := p.Wait(); err == nil {
		t.Error("the command ended well")
	}
	gone()
}

// watch returns a function that waits for the end of a process of the host.
func watch(t *testing.T, h *Host, pid int) func() {
	t.Helper()
	list, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(p Process) bool { return p.PID == pid })
	if i < 0 {
		t.Fatalf("no process %d on %s: %v", pid, h.Name, list)
	}
	return watchOuter(t, list[i].outer)
}

func TestHostsShareNothing(t *testing.T) {
	l := withProbe(t, 2)
	a, b := l.Host("a"), l.Host("b")
	for _, dir := range []string{"/", "/tmp", "/run", "/var/lib", "/etc", "/dev/shm"} {
		name := filepath.Join(dir, "mark")
		a.WriteFile(name, []byte("a's"), 0o600)
		if got := run(t, a, "cat", name); got != "a's" {
			t.Errorf("%s on a: %q", name, got)
		}
		if data, err := b.ReadFile(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s on b: %q, %v", name, data, err)
		}
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is on the machine", name)
		}
	}
	p, _ := start(t, a, "wait")
	if on := strings.Fields(run(t, a, "processes")); !slices.Contains(on, strconv.Itoa(p.PID)) || len(on) != 3 {
		t.Errorf("processes on a: %v, want 1, %d and itself", on, p.PID)
	}
	if on := strings.Fields(run(t, b, "processes")); len(on) != 2 {
		t.Errorf("processes on b: %v, want 1 and itself", on)
	}
	const abstract = "@popcorn-lab-test"
	start(t, a, "listen", "unix", abstract)
	if got := run(t, a, "dial", "unix", abstract, "hello"); got != "hello\n" {
		t.Errorf("abstract socket on a: %q", got)
	}
	if out, err := b.Command(within(t), "probe", "dial", "unix", abstract, "hello").CombinedOutput(); err == nil {
		t.Errorf("abstract socket of a on b: %q", out)
	}
}

// The machine's files are seen by an origin only, and not written by it.
func TestOriginSeesTheMachine(t *testing.T) {
	l := withProbe(t, 2, Origin())
	a, b := l.Host("a"), l.Host("b")
	if _, err := a.ReadFile("/bin/sh"); err != nil {
		t.Error(err)
	}
	if out, err := a.Command(within(t), "/bin/sh", "-c", "touch /usr/mark || echo refused; cat /etc/hostname").Output(); string(out) != "refused\na\n" {
		t.Errorf("shell on origin: %q, %v", out, err)
	}
	for _, name := range []string{"/tmp/mark", "/run/mark", "/var/lib/mark", "/etc/mark", "/usr/bin/mark"} {
		a.WriteFile(name, nil, 0o600)
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is on the machine", name)
		}
	}
	if got := run(t, a, "name"); got != "a 0\n" {
		t.Errorf("probe on origin: %q", got)
	}
	if _, err := b.ReadFile("/bin/sh"); err == nil {
		t.Error("b has the machine's shell")
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := b.ReadFile(e.Name() + "/../" + self); err == nil {
			t.Errorf("b has %s", e.Name())
		}
	}
}

func TestDevices(t *testing.T) {
	a := withProbe(t, 1).Host("a")
	cmd := a.Command(within(t), "probe", "cat", "/dev/null", "/etc/hosts")
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), fmt.Sprintf("%s a\n", a.Addr)) {
		t.Errorf("%q, %v", out, err)
	}
	for _, name := range devices {
		st, err := os.Stat("/dev/" + name)
		if err != nil {
			continue
		}
		m, err := a.running()
		if err != nil {
			t.Fatal(err)
		}
		own, err := m.(*contained).root.Stat("dev/" + name)
		if err != nil || own.Sys().(*syscall.Stat_t).Rdev != st.Sys().(*syscall.Stat_t).Rdev {
			t.Errorf("%s: %v", name, err)
		}
	}
}
