package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestChildren has the children of programs follow to where their threads are: they see
// nothing of it, and all are where they should be.
func TestChildren(t *testing.T) {
	sources := map[string][]byte{"Makefile": []byte("all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\tgcc -O2 -c $< -o $@\n")}
	objects := []string{}
	for i := range full(4, 40) {
		text := "#include <math.h>\n#include <stdio.h>\n"
		for j := range 60 {
			text += fmt.Sprintf("double f%d_%d(double x){for(int k=0;k<%d;k++)x=sin(x)*exp(-x)+%d;return x;}\n", i, j, j, i)
		}
		sources[fmt.Sprintf("s%d.c", i)] = []byte(text)
		objects = append(objects, fmt.Sprintf("s%d.o", i))
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	programs := []struct {
		name string
		command
	}{
		{"guest", command{path: guest(t, "children")}},
		{"shell", command{path: "bash", args: []string{"-c", `(sleep 0.3; echo sub $?); seq 1 ` + full("200000", "3000000") +
			` | sort -rn | sha256sum; x=$(sleep 0.3; echo $((6*7))); sleep 0.4 & wait $!; echo "$x $?"; (exit 3)`}}},
		{"multiprocessing", command{path: python, args: []string{filepath.Join(repo, "test/scripts/processes.py"), full("64", "2000")}}},
		{"make", command{path: "make", args: []string{"-s", "-j4"}, files: sources, collect: objects}},
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p.path); err != nil {
			t.Fatal(err)
		}
		p.deadline = full(90*time.Second, 20*time.Minute)
		t.Run(p.name, func(t *testing.T) {
			want := run(t, p.command, native)
			if want.code != 0 && p.name != "shell" {
				t.Fatalf("natively exit code %d\n%s", want.code, want.stderr)
			}
			for _, v := range []variant{allAway, spread2, spread3} {
				if p.name == "guest" && v.name != allAway.name {
					continue // it waits to be at node 1
				}
				v.flags = append(slices.Clone(v.flags), "--children", "follow")
				t.Run(v.name, func(t *testing.T) {
					for range full(1, 20) {
						r := start(t, p.command, v)
						r.outlived = true
						got := r.wait()
						compare(t, p.command, want, got)
						if bytes.Contains(got.stderr, []byte("popcorn:")) {
							t.Errorf("popcorn says: %s", got.stderr)
						}
					}
				})
			}
		})
	}
}

// TestChildIsAJob: a child that follows is a job of its parent's family, which verbs
// work on, and lives on when its parent ends.
func TestChildIsAJob(t *testing.T) {
	v := variant{name: "away", nodes: 2, flags: []string{"--nodes", "2", "--on", "1", "--children", "follow"}}
	r := start(t, command{path: "bash", args: []string{"-c", "sleep 1000 & echo $!; read -t 1000 <> <(:)"}}, v)
	r.outlived = true
	type job struct {
		ID, Family string
		PID        int
		Command    []string
	}
	var child job
	jobs := func() []job {
		var list struct{ Jobs []job }
		out, err := r.popcorn(10*time.Second, "ps", "--json")
		if err == nil {
			err = json.Unmarshal(out, &list)
		}
		if err != nil {
			t.Fatal(err)
		}
		return list.Jobs
	}
	r.until("the child is a job", func() bool {
		for _, j := range jobs() {
			if strings.Join(j.Command, " ") == "sleep 1000" && j.Family != "" {
				child = j
				return true
			}
		}
		return false
	})
	pid := fmt.Sprint(child.PID)
	r.until("it is at node 1", func() bool {
		out, err := r.popcorn(10*time.Second, "where", pid)
		return err == nil && strings.Contains(string(out), "1")
	})
	if !strings.HasPrefix(string(r.read(r.stdout.Name())), pid+"\n") {
		t.Errorf("its number is %s for popcorn, for its parent %s", pid, r.read(r.stdout.Name()))
	}
	for _, args := range [][]string{{"migrate", pid, "home"}, {"migrate", child.ID, "1"}, {"kill", "-s", "KILL", child.Family}} {
		if out, err := r.popcorn(30*time.Second, args...); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	<-r.done
	if out, err := r.popcorn(30*time.Second, "kill", "-s", "TERM", child.ID); err != nil {
		t.Errorf("kill the child that is left: %v: %s", err, out)
	}
	if o := r.wait(); o.code != 128+9 {
		t.Errorf("exit code %d\n%s", o.code, r.printed())
	}
}
