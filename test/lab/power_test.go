package lab

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestKill(t *testing.T) {
	l := withProbe(t, 2)
	a, b := l.Host("a"), l.Host("b")
	p, _ := start(t, a, "wait")
	if err := b.Kill(p.PID+100, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("kill nobody: %v", err)
	}
	for range 20 { // which the probe outlives
		if err := a.Kill(p.PID, syscall.SIGURG); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // each a signal of its own
	}
	if err := a.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if p.Wait(); p.Cmd.ProcessState.ExitCode() != 137 {
		t.Errorf("it ended with %v", p.Cmd.ProcessState)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	l := withProbe(t, 2)
	a := l.Host("a")
	cmd := a.Command(within(t), "probe", "count")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.SetReadDeadline(time.Now().Add(limit))
	cmd.Stdout = w
	if _, err := a.Start(cmd); err != nil {
		t.Fatal(err)
	}
	w.Close()
	start(t, a, "spawn", "3")
	start(t, a, "spin")
	if err := a.Freeze(); err != nil {
		t.Fatal(err)
	}
	if states := states(t, a); states != "TTTTTT" {
		t.Errorf("states of the frozen: %s", states)
	}
	in.Write([]byte("x\n"))
	run(t, l.Host("b"), "name")
	if err := a.Thaw(); err != nil {
		t.Fatal(err)
	}
	if states := states(t, a); strings.Contains(states, "T") {
		t.Errorf("states of the thawed: %s", states)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "1\n" {
		t.Errorf("it counted %q, %v", line, err)
	}
	in.Close()
}

// states is a letter for each process but the first.
func states(t *testing.T, h *Host) string {
	t.Helper()
	list, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for _, p := range list {
		if p.PID != 1 {
			s.WriteString(p.State)
		}
	}
	return s.String()
}

func TestPowerOffEndsEverything(t *testing.T) {
	l := withProbe(t, 2)
	a := l.Host("a")
	start(t, a, "spawn", "5")
	start(t, a, "spawn", "5", "orphans")
	waiting, _ := start(t, a, "wait")
	list, err := a.Processes()
	if err != nil || len(list) < 13 {
		t.Fatalf("processes: %v, %v", list, err)
	}
	var gone []func()
	for _, p := range list {
		gone = append(gone, watchOuter(t, p.outer))
	}
	if err := a.PowerOff(); err != nil {
		t.Fatal(err)
	}
	for _, g := range gone {
		g()
	}
	if waiting.Wait(); waiting.Cmd.ProcessState.ExitCode() != 137 {
		t.Errorf("a command ended with %v", waiting.Cmd.ProcessState)
	}
	if err := a.PowerOff(); err != nil {
		t.Errorf("switch off what is off: %v", err)
	}
	if err := a.Command(within(t), "probe", "name").Run(); !errors.Is(err, errOff) {
		t.Errorf("command on a host that is off: %v", err)
	}
	run(t, l.Host("b"), "name")
}

func TestPowerOnKeepsTheDisk(t *testing.T) {
	for name, options := range map[string][]Option{"tiny": nil, "origin": {Origin()}} {
		t.Run(name, func(t *testing.T) {
			l := withProbe(t, 2, options...)
			a, b := l.Host("a"), l.Host("b")
			for i := range 2 {
				if i == 0 {
					a.WriteFile("/var/lib/x/secret", []byte("kept"), 0o600)
					a.WriteFile("/etc/x.conf", []byte("kept"), 0o644)
				}
				a.WriteFile("/run/x", nil, 0o600)
				reboot(t, a)
				for _, file := range []string{"/var/lib/x/secret", "/etc/x.conf"} {
					if data, err := a.ReadFile(file); string(data) != "kept" {
						t.Errorf("%s: %q, %v", file, data, err)
					}
				}
				if _, err := a.ReadFile("/run/x"); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("/run was kept: %v", err)
				}
			}
			m, err := a.running()
			if err != nil {
				t.Fatal(err)
			}
			if st, err := m.(*contained).root.Stat("var/lib/x/secret"); err != nil || st.Mode() != 0o600 {
				t.Errorf("mode: %v, %v", st, err)
			}
			_, at := start(t, a, "listen", "tcp", "a:0")
			if got := run(t, b, "dial", "tcp", at, "again"); got != "again\n" {
				t.Errorf("%q", got)
			}
		})
	}
}

func reboot(t *testing.T, h *Host) {
	t.Helper()
	if err := h.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := h.PowerOn(); err != nil {
		t.Fatal(err)
	}
}
