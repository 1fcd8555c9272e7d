package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBackground: run -d returns when the program runs; its exit code and output
// are there when it has ended.
func TestBackground(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "go on")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := command{path: "/bin/sh", args: []string{"-c", `echo begun; read word <"$0"; echo "$word" >&2; exit 7`, fifo}}
	r := start(t, c, variant{name: "background", nodes: 2, flags: []string{"--nodes", "2", "--on", "1", "-d"}})
	select {
	case <-r.done:
	case <-time.After(r.deadline):
		r.kill()
		t.Fatalf("run -d did not return\n%s", r.printed())
	}
	id := strings.TrimSpace(string(r.read(r.stdout.Name())))
	if out, err := r.popcorn(r.deadline, "ps", "-q"); err != nil || strings.TrimSpace(string(out)) != id {
		t.Errorf("ps -q: %v\n%s\nrun -d said %q", err, out, id)
	}
	// Open for both, it does not wait for a reader that may never come.
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("done\n"); err != nil {
		t.Fatal(err)
	}
	for _, job := range []string{id, r.id, id} {
		if out, err := r.popcorn(r.deadline, "wait", job); err != nil || string(out) != "7\n" {
			t.Errorf("wait %s: %v\n%s", job, err, out)
		}
	}
	if got := string(r.read(filepath.Join(r.base, "state/popcorn/jobs", id+".out"))); got != "begun\ndone\n" {
		t.Errorf("it printed %q", got)
	}
	r.nothingLeft(5 * time.Second)
}
