package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHostileCalls: whatever a program at a remote calls, the process that lends
// it that host's processor has no more files, sockets, children or rights than
// before, and its settings are what they were.
func TestHostileCalls(t *testing.T) {
	job := start(t, command{path: guest(t, "hostile"), args: []string{"calls"}}, allAway)
	p := job.partsWhen(func(p parts) bool { return at(p.Stubs, 1) != 0 })
	stub := at(p.Stubs, 1)
	for end := time.Now().Add(job.deadline); !bytes.Contains(job.read(job.stdout.Name()), []byte("tried")); {
		select {
		case <-job.done:
			t.Fatalf("ended early\n%s", job.printed())
		case <-time.After(10 * time.Millisecond): // nothing but its output tells
		}
		if time.Now().After(end) {
			report := job.diagnosis()
			job.kill()
			t.Fatalf("hangs\n%s\n%s", job.printed(), report)
		}
	}
	holds := func(what string, ok bool, found any) {
		if !ok {
			t.Errorf("%s of stub %d: %v", what, stub, found)
		}
	}
	files, sockets := descriptors(t, stub)
	holds("descriptors", len(files) == 4 && sockets == 0, files)
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", stub))
	holds("working directory", err == nil && cwd == "/", cwd)
	status := line(fmt.Sprintf("/proc/%d", stub), "status")
	holds("umask", !strings.Contains(status, "Umask:\t0777"), status)
	nice := func(pid int) string { return strings.Fields(line(fmt.Sprintf("/proc/%d", pid), "stat"))[18] }
	holds("nice value", nice(stub) == nice(os.Getpid()), nice(stub))
	free := 0
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", stub))
	for _, task := range tasks {
		if !strings.Contains(line(task, "status"), "\nSeccomp:\t2") {
			free++
		}
	}
	holds("threads without filter", free == 1, free) // the first, which stands stopped
	for _, child := range job.processes() {
		holds("children", child.ppid != stub, child)
	}
	save(t, filepath.Join(job.dir, "checked"), nil, 0o644)
	if o := job.wait(); o.code != 0 || !bytes.HasSuffix(o.stdout, []byte("EXIT-SUCCESS\n")) {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", o.code, o.stdout, o.stderr)
	}
}

// descriptors lists what a process has open, and how many of them are sockets.
func descriptors(t *testing.T, pid int) (files []string, sockets int) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("list descriptors of %d: %v", pid, err)
	}
	for _, l := range links {
		to, _ := os.Readlink(l)
		files = append(files, to)
		if strings.HasPrefix(to, "socket:") {
			sockets++
		}
	}
	return files, sockets
}

// TestHostileAgent: popcorn's own code in the guest gives it nothing either.
// What it could do with it at a remote ends the job; the rest is done at home.
func TestHostileAgent(t *testing.T) {
	for _, c := range []struct {
		does string
		code int
		says string
	}{
		{"write", 128 + int(syscall.SIGSEGV), ""},
		{"creat", 128 + int(syscall.SIGTRAP), ""},
		{"fork", -1, ""}, // made at home, where it is the program's own affair
		{"thread", 125, "node 1"},
	} {
		t.Run(c.does, func(t *testing.T) {
			o := run(t, command{path: guest(t, "hostile"), args: []string{c.does}, collect: []string{"hostile-file"}}, allAway)
			if c.code >= 0 && o.code != c.code || !strings.Contains(string(o.stderr), c.says) {
				t.Errorf("exit code %d, expected %d and a word about %q\nstderr: %s", o.code, c.code, c.says, o.stderr)
			}
			if _, err := os.Stat("/hostile-file"); err == nil {
				os.Remove("/hostile-file")
				t.Error("the stub, whose working directory is /, made the file")
			}
		})
	}
}
