package test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTeleforkedJob: a child at a node is a job of its parent's family, which the
// verbs work on, while the parent sees a child as ever.
func TestTeleforkedJob(t *testing.T) {
	v := variant{name: "nodes2", nodes: 2, flags: []string{"--nodes", "2"}}
	r := start(t, command{path: guest(t, "telefork_job")}, v)
	child := ""
	r.until("it has made its child", func() bool {
		var whole bool
		child, _, whole = strings.Cut(string(r.read(r.stdout.Name())), "\n")
		return whole
	})
	where := func(node string) func() bool {
		return func() bool {
			out, err := r.popcorn(10*time.Second, "where", child)
			return err == nil && strings.Contains(string(out), node)
		}
	}
	r.until("the child is a job at node 1", where("1"))
	out, err := r.popcorn(10*time.Second, "ps", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Jobs []struct{ ID, Family string } }
	if err := json.Unmarshal(out, &list); err != nil || len(list.Jobs) != 2 {
		t.Fatalf("ps shows %s (%v), want two jobs", out, err)
	}
	if a, b := list.Jobs[0], list.Jobs[1]; a.Family+b.Family != a.ID && a.Family+b.Family != b.ID {
		t.Errorf("no job is of the other's family: %+v", list.Jobs)
	}
	for _, args := range [][]string{{"migrate", child, "home"}, {"migrate", child, "1"}, {"kill", "-s", "TERM", child}} {
		if out, err := r.popcorn(30*time.Second, args...); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	if o := r.wait(); o.code != 0 || !bytes.Contains(o.stdout, []byte("signal 15\nEXIT-SUCCESS")) {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// TestTeleforkExamples: the picture is the same wherever its rows are rendered.
func TestTeleforkExamples(t *testing.T) {
	tracer := filepath.Join(scratch, "pathtracer")
	cc := compiler(t, tracer, filepath.Join(repo, "examples", "pathtracer.c"), "-lm")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := map[string]command{"c": {path: tracer, args: []string{"3"}}}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	all["python"] = command{path: python, args: []string{filepath.Join(repo, "examples", "pathtracer.py"), "3"}}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			want := run(t, c, native)
			v := variant{name: "nodes3", nodes: 3, flags: []string{"--nodes", "3"}}
			got := run(t, c, v)
			if want.code != 0 || got.code != 0 || len(want.stdout) < 1000 || !bytes.Equal(got.stdout, want.stdout) {
				t.Errorf("codes %d, %d; pictures of %d and %d bytes differ\n%s", want.code, got.code, len(want.stdout), len(got.stdout), got.stderr)
			}
			if name == "c" && (!bytes.Contains(got.stderr, []byte("at node 1")) || !bytes.Contains(got.stderr, []byte("at node 2"))) {
				t.Errorf("not rendered at the nodes:\n%s", got.stderr)
			}
		})
	}
}
