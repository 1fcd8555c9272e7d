package test

import (
	"bytes"
	"fmt"
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

// foundCalled is one of foundPrograms.
func foundCalled(t *testing.T, name string) found {
	t.Helper()
	for _, f := range foundPrograms {
		if f.name == name {
			return f
		}
	}
	t.Fatalf("no program %s", name)
	return found{}
}

// endsRight ends a program that was found running and checks what it says.
func (f found) endsRight(t *testing.T, r *running) {
	t.Helper()
	syscall.Kill(r.cmd.Process.Pid, f.end)
	if o := r.wait(); o.code != f.code || !strings.Contains(string(o.stdout), f.says) {
		t.Errorf("exit code %d, expected %d\nstdout: %s\nstderr: %s", o.code, f.code, tail(o.stdout), tail(o.stderr))
	}
}

// TestAttachLosesItsProcesses kills, without warning, what holds a program that was
// attached to. One that nothing was moved of lives on whoever dies; else it comes
// home when popcorn attach dies, and ends when its supervisor does.
func TestAttachLosesItsProcesses(t *testing.T) {
	for _, c := range []struct {
		name   string
		moved  bool
		victim func(p parts) []int
		lives  bool
	}{
		{"attach", false, func(p parts) []int { return []int{p.RunPID} }, true},
		{"home-supervisor", false, func(p parts) []int { return []int{at(p.Supervisors, 0)} }, true},
		{"remote-supervisor", false, func(p parts) []int { return []int{at(p.Supervisors, 1)} }, true},
		{"all", false, func(p parts) []int { return []int{p.RunPID, at(p.Supervisors, 0), at(p.Supervisors, 1)} }, true},
		{"attach-moved", true, func(p parts) []int { return []int{p.RunPID} }, true},
		{"home-supervisor-moved", true, func(p parts) []int { return []int{at(p.Supervisors, 0)} }, false},
		{"remote-supervisor-moved", true, func(p parts) []int { return []int{at(p.Supervisors, 1)} }, false},
		{"all-moved", true, func(p parts) []int { return []int{p.RunPID, at(p.Supervisors, 0), at(p.Supervisors, 1)} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := foundCalled(t, "attach_mix")
			r := f.begin(t)
			pid := strconv.Itoa(r.cmd.Process.Pid)
			before := look(t, r.cmd.Process.Pid, true)
			a := attachTo(t, r)
			a.id = pid
			if c.moved {
				if out, err := a.popcorn(30*time.Second, "migrate", pid, "1"); err != nil {
					t.Fatalf("migrate: %v: %s", err, out)
				}
			}
			for _, victim := range c.victim(a.parts()) {
				syscall.Kill(victim, syscall.SIGKILL)
			}
			a.ends()
			if !c.lives {
				r.ends()
				if code := exitCode(r.cmd.ProcessState); code != 137 {
					t.Errorf("exit code %d, expected 137: %s", code, r.printed())
				}
				removeFiles(t, a)
				return
			}
			r.until("nobody traces it", func() bool { // one thread after the other is let go
				tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%s/task/*", pid))
				return !slices.ContainsFunc(tasks, func(task string) bool {
					tracer := pick(line(task, "status"), "TracerPid")
					return tracer != "" && tracer != "TracerPid:\t0"
				})
			})
			if after := look(t, r.cmd.Process.Pid, true); after != before {
				t.Errorf("a trace is left:\n%s", differing(before, after))
			}
			removeFiles(t, a)
			f.endsRight(t, r)
		})
	}
}

// TestAttachEnds: ^C lets go; a program that ends is told of, its parent gets its
// status; and a stopped one is attached to and let go stopped.
func TestAttachEnds(t *testing.T) {
	t.Run("interrupt", func(t *testing.T) {
		f := foundCalled(t, "attach_mix")
		r := f.begin(t)
		a := attachTo(t, r)
		if out, err := a.popcorn(30*time.Second, "migrate", strconv.Itoa(r.cmd.Process.Pid), "1"); err != nil {
			t.Fatalf("migrate: %v: %s", err, out)
		}
		syscall.Kill(a.cmd.Process.Pid, syscall.SIGINT)
		if o := a.wait(); o.code != 0 || !bytes.Contains(o.stderr, []byte("was let go")) {
			t.Errorf("exit code %d: %s", o.code, o.stderr)
		}
		f.endsRight(t, r)
	})
	t.Run("exit", func(t *testing.T) {
		f := foundCalled(t, "attach_mix")
		r := f.begin(t)
		a := attachTo(t, r)
		if out, err := a.popcorn(30*time.Second, "migrate", strconv.Itoa(r.cmd.Process.Pid), "1"); err != nil {
			t.Fatalf("migrate: %v: %s", err, out)
		}
		syscall.Kill(r.cmd.Process.Pid, f.end)
		if o := a.wait(); o.code != 0 || !bytes.Contains(o.stderr, []byte("has ended with exit code 0")) {
			t.Errorf("exit code %d: %s", o.code, o.stderr)
		}
		if o := r.wait(); o.code != 0 || !strings.Contains(string(o.stdout), f.says) {
			t.Errorf("exit code %d: %s", o.code, r.printed())
		}
	})
	t.Run("stopped", func(t *testing.T) {
		f := foundCalled(t, "attach_mix")
		r := f.begin(t)
		pid := r.cmd.Process.Pid
		state := func(s string) func() bool {
			return func() bool { return strings.Contains(line(fmt.Sprintf("/proc/%d", pid), "status"), "State:\t"+s) }
		}
		syscall.Kill(pid, syscall.SIGSTOP)
		r.until("it has stopped", state("T"))
		a := attachTo(t, r)
		if out, err := a.popcorn(30*time.Second, "detach", strconv.Itoa(pid)); err != nil {
			t.Errorf("detach: %v: %s", err, out)
		}
		a.wait()
		r.until("it is stopped still", state("T (stopped)"))
		syscall.Kill(pid, syscall.SIGCONT)
		f.endsRight(t, r)
	})
}

// TestAttachLosesNoSignal: one that comes at any moment of letting go is delivered.
func TestAttachLosesNoSignal(t *testing.T) {
	rnd := random(t)
	for range full(6, 100) {
		f := foundCalled(t, "attach_mix")
		r := f.begin(t)
		pid := r.cmd.Process.Pid
		a := attachTo(t, r)
		if out, err := a.popcorn(30*time.Second, "migrate", strconv.Itoa(pid), "1"); err != nil {
			t.Fatalf("migrate: %v: %s", err, out)
		}
		go a.popcorn(30*time.Second, "detach", strconv.Itoa(pid))      // it may have ended before
		time.Sleep(time.Duration(rnd.IntN(60_000)) * time.Microsecond) // the random moment
		syscall.Kill(pid, f.end)
		a.wait() // its processes would be taken for the program's
		f.endsRight(t, r)
	}
}

// TestAttachRefuses says what cannot be attached to, before anything is done to it.
func TestAttachRefuses(t *testing.T) {
	f := foundCalled(t, "attach_mix")
	r := f.begin(t)
	pid := strconv.Itoa(r.cmd.Process.Pid)
	tasks, _ := filepath.Glob("/proc/" + pid + "/task/*")
	ask := func(code int, says string, args ...string) {
		t.Helper()
		c := command{path: popcornBin, args: append([]string{"attach"}, args...)}
		o := launch(t, c, native, func(a *running) { a.beside = r }).wait()
		if o.code != code || !strings.Contains(string(o.stderr), says) {
			t.Errorf("attach %v: exit code %d, expected %d and %q: %s", args, o.code, code, says, o.stderr)
		}
	}
	ask(2, "no process id", "x")
	ask(3, "no such job", "4194304")
	ask(5, "give that number", filepath.Base(tasks[len(tasks)-1]))
	ask(5, "first process", "1")
	if kthread, _ := os.ReadFile("/proc/2/comm"); string(kthread) == "kthreadd\n" {
		ask(5, "thread of the kernel", "2")
	}
	a := attachTo(t, r)
	again, err := a.popcorn(10*time.Second, "attach", pid)
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 5 || !bytes.Contains(again, []byte("already")) {
		t.Errorf("attach twice: %v: %s", err, again)
	}
	if out, err := a.popcorn(30*time.Second, "detach", pid); err != nil {
		t.Errorf("detach: %v: %s", err, out)
	}
	a.wait()
	f.endsRight(t, r)
}
