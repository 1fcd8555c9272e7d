package test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// printed waits until a command has printed a word.
func (c *cluster) printed(f *os.File, word string) {
	c.t.Helper()
	for end := time.Now().Add(clusterPatience); ; time.Sleep(20 * time.Millisecond) { // a file signals nothing
		text, err := os.ReadFile(f.Name())
		if err == nil && strings.Contains(string(text), word) {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("no %q in %q, %v", word, text, err)
		}
	}
}

// TestClusterAttaches: a program found running on one host moves to another and
// back, comes home also when popcorn attach is killed, and ends right.
func TestClusterAttaches(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.lab.Host("a"), c.lab.Host("b")
	program := c.start(c.lab.Hosts()[0], nil, c.put(guest(t, "attach_mix")))
	c.printed(program.out, "ready")
	pid := strconv.Itoa(program.PID)
	attached := func() *away {
		job := c.start(c.lab.Hosts()[0], nil, "/usr/bin/popcorn", "attach", "-H", "b", pid)
		c.printed(job.errs, "is job")
		for range full(3, 20) {
			c.must(a, "migrate", pid, "b")
			c.must(a, "migrate", pid, "home")
		}
		c.must(a, "migrate", pid, "b")
		return job
	}
	job := attached()
	c.must(a, "detach", pid)
	if code, _, errs := c.end(job, clusterPatience); code != 0 || !strings.Contains(errs, "was let go") {
		t.Errorf("attach ends with %d: %s", code, errs)
	}
	c.onlyDaemons(b)
	job = attached()
	kill(t, a, job.PID, syscall.SIGKILL)
	c.end(job, clusterPatience)
	c.onlyDaemons(b)
	kill(t, a, program.PID, syscall.SIGTERM)
	if code, out, errs := c.end(program, clusterPatience); code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	c.onlyDaemons(a)
}

func kill(t *testing.T, h *lab.Host, pid int, sig syscall.Signal) {
	t.Helper()
	if err := h.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}
