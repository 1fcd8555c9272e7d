package test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// newer builds popcorn as the next version of itself.
func newer(t *testing.T) string {
	t.Helper()
	out := filepath.Join(scratch, "popcorn-next")
	build := exec.Command("go", "build", "-ldflags", "-X popcorn/internal/cli.version=next", "-o", out, "./cmd/popcorn")
	build.Dir, build.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the next version: %v\n%s", err, text)
	}
	return out
}

// end ends the daemon of a host.
func (c *cluster) endDaemon(h *lab.Host, sig syscall.Signal) {
	c.t.Helper()
	d := c.daemons[h.Name]
	if err := h.Kill(d.PID, sig); err != nil {
		c.t.Fatalf("end daemon on %s: %v", h.Name, err)
	}
	over := time.AfterFunc(clusterPatience, func() { d.Cmd.Process.Kill() })
	d.Wait() // killed or not, it has ended
	if !over.Stop() {
		c.t.Fatalf("daemon on %s does not end by signal %d", h.Name, sig)
	}
}

// TestDaemonsAreReplaced: daemons of both hosts are killed, ended and replaced by
// another version, again and again, under a program that does not notice: it
// gives what it gives natively, and its deputy is the one it began with.
func TestDaemonsAreReplaced(t *testing.T) {
	next := newer(t)
	c := formCluster(t, 2, clusterPatience, lab.File("/usr/bin/popcorn-next", next))
	a, b := c.lab.Host("a"), c.lab.Host("b")
	c.must(a, "completion", "bash") // it runs
	if out, err := a.Command(t.Context(), "mkfifo", "/tmp/in").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	xz := []string{"/usr/bin/xz", "-T4", "-1", "--block-size=64KiB", "-c"}
	job := c.run([]string{"-H", "b", "--spread"}, append(xz, "/tmp/in")...)
	feeder := a.Command(t.Context(), "/bin/sh", "-c", "exec cat > /tmp/in")
	in, err := feeder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Start(feeder); err != nil {
		t.Fatal(err)
	}
	const chunk = 1 << 20
	data := mixedData(4 * chunk)
	var all bytes.Buffer
	feed := func(i int) {
		part := data[i%4*chunk : (i%4+1)*chunk]
		all.Write(part)
		stuck := time.AfterFunc(clusterPatience, func() { in.Close() })
		defer stuck.Stop()
		if _, err := in.Write(part); err != nil {
			text, _ := os.ReadFile(job.errs.Name())
			t.Fatalf("after %d daemons: %v\n%s", i, err, text)
		}
	}
	feed(0)
	c.until(a, "1 xz") // a thread of it is there, at work or waiting for some
	for i := range full(3, 100) {
		h := []*lab.Host{b, a}[i/3%2]
		c.endDaemon(h, []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM}[i%3])
		version := "unknown"
		c.binary = "/usr/bin/popcorn"
		if i%3 == 2 {
			c.binary, version = "/usr/bin/popcorn-next", "next"
		}
		c.serve(h, "node", "serve")
		if table := c.must(h, "node", "ls", "--json"); i%3 == 2 && !strings.Contains(table, `"popcorn": "`+version+`"`) {
			t.Errorf("no node of version %s:\n%s", version, table)
		}
		feed(i + 1)
	}
	in.Close()
	natively := exec.Command(xz[0], xz[1:]...)
	natively.Stdin = io.Reader(&all)
	want, err := natively.Output()
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := c.end(job, full(2*time.Minute, 10*time.Minute))
	if code != 0 || out != string(want) {
		t.Errorf("exit code %d, %d bytes, natively %d\n%s", code, len(out), len(want), tail([]byte(errs)))
	}
	stats, err := a.ReadFile("/tmp/stats")
	if err != nil {
		t.Fatal(err)
	}
	everyNodeWorked(t, stats, 2)
	c.onlyDaemons(b)
	c.untilAudited(b, "deputy ended")
	log, err := b.ReadFile("/var/lib/popcorn/audit.log")
	if err != nil || bytes.Count(log, []byte(`"deputy started"`)) != 1 || bytes.Count(log, []byte(`"deputy ended"`)) != 1 {
		t.Errorf("%v, audit log of b:\n%s", err, log)
	}
}

// untilAudited waits for a line about what in a host's audit log.
func (c *cluster) untilAudited(h *lab.Host, what string) {
	c.t.Helper()
	for end := time.Now().Add(clusterPatience); ; time.Sleep(20 * time.Millisecond) { // nothing tells but the file
		log, err := h.ReadFile("/var/lib/popcorn/audit.log")
		if bytes.Contains(log, []byte(what)) {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("nothing about %q: %v\n%s", what, err, log)
		}
	}
}
