package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLeftoversAreSeen holds the harness: a process left behind is found by its
// mark, and by its parent when it has cleared its environment; so is a file.
func TestLeftoversAreSeen(t *testing.T) {
	for name, script := range map[string]string{
		"marked":   "setsid sleep 100 & ",
		"scrubbed": "env -i setsid sleep 100 & while [ ! -e /proc/$! ]; do :; done",
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, command{path: "/bin/sh", args: []string{"-c", script}}, native)
			r.ends()
			if left := r.processes(); len(left) != 1 || !strings.Contains(r.threads(), "wchan") {
				t.Errorf("left are %v, expected one\n%s", left, r.threads())
			}
			r.kill()
			r.nothingLeft(5 * time.Second)
		})
	}
	t.Run("file", func(t *testing.T) {
		r := start(t, command{path: "/bin/true"}, native)
		r.ends()
		path := filepath.Join(r.runtimeDir, "socket")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if left := r.files(); len(left) != 1 || left[0] != path {
			t.Errorf("left are %v, expected %s", left, path)
		}
	})
}

// TestOutcome: exit codes are a shell's, outputs are told apart where they part.
func TestOutcome(t *testing.T) {
	for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "true": 0} {
		if o := run(t, command{path: "/bin/sh", args: []string{"-c", script}}, native); o.code != want {
			t.Errorf("%s: exit code %d, expected %d", script, o.code, want)
		}
	}
	for _, c := range []struct {
		a, b string
		at   int
	}{{"", "", -1}, {"ab", "ab", -1}, {"ab", "ac", 1}, {"ab", "abc", 2}, {"ab", "a", 1}} {
		if at := firstDifference([]byte(c.a), []byte(c.b)); at != c.at {
			t.Errorf("%q and %q part at %d, expected %d", c.a, c.b, at, c.at)
		}
	}
}
