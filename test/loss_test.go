package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// lossRecords is enough that the program does not end before it has lost a node.
const lossRecords = 4000

// restoring is a job of so many local nodes that is saved every so often.
func restoring(nodes int, every string) variant {
	return variant{name: "restoring", nodes: nodes, env: []string{"POPCORN_TEST_TROUBLE=1"},
		flags: []string{"--nodes", strconv.Itoa(nodes), "--spread", "--checkpoint", "image", "--checkpoint-every", every, "--on-loss", "restore"}}
}

// TestLossRestores: a program that loses a node's supervisor, and then the process that
// runs its threads at another, goes on from its last checkpoint on those that are left;
// its files are as if nothing had been.
func TestLossRestores(t *testing.T) {
	r := start(t, command{path: guest(t, "records"), args: []string{strconv.Itoa(lossRecords)}, collect: []string{"records"},
		deadline: full(3*time.Minute, 10*time.Minute)}, restoring(3, "500ms"))
	image, records := filepath.Join(r.dir, "image"), filepath.Join(r.dir, "records")
	var last os.FileInfo
	for i, lose := range []func(){r.loseNode, r.loseStub} {
		r.until("it was restored", func() bool { return wentOn(r) == i })
		r.until("it was saved", func() bool {
			st, err := os.Stat(image)
			fresh := err == nil && !os.SameFile(last, st)
			if fresh {
				last = st
			}
			return fresh
		})
		size := fileSize(records)
		r.until("it has written since", func() bool { return fileSize(records) > size })
		lose()
	}
	o := r.wait()
	if o.code != 0 || string(o.stdout) != "EXIT-SUCCESS\n" || wentOn(r) != 2 {
		t.Fatalf("exit code %d, went on %d times, want 2\n%s\n%s", o.code, wentOn(r), o.stdout, o.stderr)
	}
	if got, want := o.files["records"], expectedRecords(lossRecords); !bytes.Equal(got, want) {
		t.Errorf("%d bytes of records, want %d; first difference at %d", len(got), len(want), firstDifference(want, got))
	}
}

// TestLossWithoutCheckpoint: what was never saved fails, and says so.
func TestLossWithoutCheckpoint(t *testing.T) {
	r := start(t, command{path: guest(t, "records"), args: []string{"100000000"}}, restoring(2, "1h"))
	r.until("it writes", func() bool { return fileSize(filepath.Join(r.dir, "records")) > 0 })
	r.loseNode()
	if o := r.wait(); o.code != 125 || !strings.Contains(string(o.stderr), "had not been saved yet") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}

// TestClusterRestores: a job whose host is switched off goes on without it.
func TestClusterRestores(t *testing.T) {
	c := newCluster(t, 3)
	a := c.lab.Host("a")
	job := c.run([]string{"-H", "b,c", "--spread", "--loss-timeout", lossTimeout.String(), "--checkpoint", "/tmp/image", "--checkpoint-every", "200ms",
		"--on-loss", "restore"}, "/usr/bin/env", "POPCORN_TEST_TROUBLE=1", c.put(guest(t, "records")), strconv.Itoa(lossRecords))
	c.saved(a, job, "/tmp/image")
	c.until(a, "1 away")
	if err := c.lab.Host("b").PowerOff(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := c.end(job, lossOver+2*time.Minute)
	if code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") || !strings.Contains(errs, "goes on from its last checkpoint") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	data, err := a.ReadFile(job.dir + "/records")
	if err != nil {
		t.Fatal(err)
	}
	if want := expectedRecords(lossRecords); !bytes.Equal(data, want) {
		t.Errorf("%d bytes of records, want %d; first difference at %d", len(data), len(want), firstDifference(want, data))
	}
	c.onlyDaemons(a)
	c.onlyDaemons(c.lab.Host("c"))
}

// wentOn is how often popcorn run has said so.
func wentOn(r *running) int {
	return strings.Count(string(r.read(r.stderr.Name())), "it goes on from its last checkpoint")
}

func fileSize(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

// loseNode kills the supervisor of node 1.
func (r *running) loseNode() {
	r.t.Helper()
	r.lose(func(p parts) int { return at(p.Supervisors, 1) })
}

// loseStub kills the process that runs the program's threads at node 1.
func (r *running) loseStub() {
	r.t.Helper()
	r.lose(func(p parts) int { return at(p.Stubs, 1) })
}

func (r *running) lose(which func(parts) int) {
	r.t.Helper()
	p := r.partsWhen(func(p parts) bool { return which(p) > 0 })
	if err := syscall.Kill(which(p), syscall.SIGKILL); err != nil {
		r.t.Fatal(err)
	}
}

// saved waits until the job on host h has been saved to the file.
func (c *cluster) saved(h *lab.Host, job *away, file string) {
	c.t.Helper()
	for end := time.Now().Add(c.patience); ; time.Sleep(10 * time.Millisecond) { // nothing signals what another host does
		if _, err := h.ReadFile(file); err == nil {
			return
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(job.errs.Name())
			c.t.Fatalf("the job was not saved to %s\n%s", file, said)
		}
	}
}
