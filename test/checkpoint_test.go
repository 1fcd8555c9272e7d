package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// carried are the guests that are saved and restored.
func carried(t *testing.T) []guestSource {
	t.Helper()
	return slices.DeleteFunc(guests(t), func(g guestSource) bool { return g.tags["only"] != "checkpoint" })
}

// goFile is what such a guest waits for before it looks at itself again.
const goFile = "go"

// TestCarriedNatively holds the guests alone.
func TestCarriedNatively(t *testing.T) {
	for _, g := range carried(t) {
		t.Run(g.name, func(t *testing.T) {
			checkPromise(t, g, run(t, command{path: g.build(t), args: g.args(), files: map[string][]byte{goFile: nil}}, native))
		})
	}
}

// TestCheckpoint saves every guest, ends it, and restores it.
func TestCheckpoint(t *testing.T) {
	for _, g := range carried(t) {
		for _, v := range []variant{oneNode, allAway, spread2} {
			t.Run(g.name+"/"+v.name, func(t *testing.T) {
				c := command{path: g.build(t), args: g.args()}
				r := start(t, c, v)
				r.prints("READY\n")
				r.checkpoint("image", "--kill")
				r.killed()
				r.goOn()
				checkPromise(t, g, r.restore("image", v).wait())
			})
		}
	}
}

// TestCheckpointAsUser does so for a user without rights, who may not choose
// process ids but in a namespace of his own.
func TestCheckpointAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	for _, g := range carried(t) {
		t.Run(g.name, func(t *testing.T) {
			r := launch(t, command{path: g.build(t), args: g.args()}, oneNode, (*running).asNobody)
			r.prints("READY\n")
			r.checkpoint("image", "--kill")
			r.killed()
			r.goOn()
			checkPromise(t, g, r.restore("image", oneNode).wait())
		})
	}
}

// prints waits for the program to have printed text.
func (r *running) prints(text string) {
	r.t.Helper()
	for end := time.Now().Add(r.deadline); !strings.Contains(string(r.read(r.stdout.Name())), text); {
		select {
		case <-r.done:
			r.t.Fatalf("%s\nended without printing %q\n%s", r.what, text, r.printed())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(end) {
			report := r.diagnosis()
			r.kill()
			r.t.Fatalf("%s\ndid not print %q\n%s\n%s", r.what, text, r.printed(), report)
		}
	}
}

// image is the path of an image of this run.
func (r *running) image(name string) string { return filepath.Join(r.base, name) }

// checkpoint saves the job to the image called name.
func (r *running) checkpoint(name string, flags ...string) {
	r.t.Helper()
	args := slices.Concat([]string{"checkpoint", r.id, "-o", r.image(name)}, flags)
	if out, err := r.popcorn(30*time.Second, args...); err != nil {
		report := r.threads() + r.inspect(5*time.Second)
		r.kill()
		<-r.done
		r.t.Fatalf("%v: %v\n%s\n%s\n%s", args, err, out, r.printed(), report)
	}
}

// killed waits for the end of a program that a checkpoint has ended.
func (r *running) killed() {
	r.t.Helper()
	r.ends()
	if code := exitCode(r.cmd.ProcessState); code != 128+int(syscall.SIGKILL) {
		r.t.Fatalf("exit code %d after checkpoint --kill\n%s", code, r.printed())
	}
	r.nothingLeft(time.Second)
}

// goOn lets guests go on that wait for it.
func (r *running) goOn() {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, goFile), nil, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// restore restores an image of r, in the same place.
func (r *running) restore(name string, v variant, flags ...string) *running {
	r.t.Helper()
	n := &running{t: r.t, id: r.id, base: r.base, dir: r.dir, runtimeDir: r.runtimeDir, stdout: r.stdout, stderr: r.stderr,
		deadline: r.deadline, collect: r.collect, done: make(chan struct{}), started: time.Now()}
	argv := slices.Concat([]string{"restore", "--name", r.id, "--stats", r.statsFile(), "--log", r.logFile()}, v.flags, flags, []string{r.image(name)})
	n.what = fmt.Sprintf("%s: popcorn %s", v.name, strings.Join(argv, " "))
	n.cmd = exec.Command(popcornBin, argv...)
	n.cmd.Dir, n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = r.dir, r.environ(), r.stdout, r.stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: r.cmd.SysProcAttr.Credential}
	if err := n.cmd.Start(); err != nil {
		r.t.Fatalf("start %s: %v", n.what, err)
	}
	go func() {
		n.cmd.Wait() // the exit status is read from ProcessState
		close(n.done)
	}()
	return n
}

// TestCheckpointItself has a program save itself three times: it goes on, and each
// image goes on from there, where the call returns 1.
func TestCheckpointItself(t *testing.T) {
	g := readGuest(t, "guests/carry_self.c")
	for _, v := range []variant{oneNode, allAway, spread3} {
		t.Run(v.name, func(t *testing.T) {
			r := start(t, command{path: g.build(t)}, v)
			r.ends()
			says := func(r *running, want string) {
				t.Helper()
				o := r.wait()
				checkPromise(t, g, o)
				said := strings.Fields(string(o.stdout)) // of the runs before it, too
				if got := said[len(said)-2]; got != want {
					t.Errorf("%s\nsays %s, want %s", r.what, got, want)
				}
			}
			says(r, "6") // 1+2+3
			if !strings.Contains(r.printed(), "has not saved itself to") {
				t.Errorf("nobody was told why\n%s", r.printed())
			}
			for image, want := range map[string]string{"image.1": "11", "image.2": "23", "image.3": "36"} {
				where, err := filepath.Rel(r.base, filepath.Join(r.dir, image))
				if err != nil {
					t.Fatal(err)
				}
				says(r.restore(where, v), want)
			}
		})
	}
}
