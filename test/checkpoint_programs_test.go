package test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// carriedPrograms are real programs that take some seconds.
func carriedPrograms(t *testing.T) []program {
	t.Helper()
	in := writeFile(t, "mixed", mixedData(full(6<<20, 64<<20)))
	sql := writeFile(t, "build.sql", []byte(sqlScript(full(60_000, 500_000))))
	loop := filepath.Join(repo, "test/scripts/eventloop.py")
	script := filepath.Join(repo, "test/scripts/filesandsums.py")
	list := []program{
		{name: "python", command: command{path: "/usr/bin/python3", args: []string{script, full("600", "6000")}, collect: []string{"log", "packed.gz"}}},
		{name: "asyncio", command: command{path: "/usr/bin/python3", args: []string{loop, full("40", "3000")}}},
		{name: "xz", command: command{path: "xz", args: []string{"-T4", "-6", "--block-size=512KiB", "-c", in}}},
		{name: "xz-stdin", command: command{path: "xz", args: []string{"-T2", "-3", "--block-size=256KiB"}, stdin: in}},
		{name: "sqlite3", command: command{path: "sqlite3", args: []string{"data.db"}, stdin: sql, collect: []string{"data.db"}}},
		{name: "go", command: command{path: readGuest(t, "guests/go_busy/main.go").build(t), args: []string{full("20000000", "100000000")}}},
	}
	for i := range list {
		p := &list[i]
		p.deadline = full(90*time.Second, 20*time.Minute)
		path, err := exec.LookPath(p.path)
		if err != nil {
			t.Fatalf("%s is not installed: %v", p.path, err)
		}
		p.path = path
	}
	return list
}

// TestCheckpointPrograms saves real programs at a random moment, ends them, and
// restores them: what both parts have written is what an undisturbed run writes.
func TestCheckpointPrograms(t *testing.T) {
	r := random(t)
	for _, p := range carriedPrograms(t) {
		t.Run(p.name, func(t *testing.T) {
			want := run(t, p.command, native)
			if want.code != p.exit {
				t.Fatalf("natively: exit code %d, expected %d\n%s", want.code, p.exit, tail(want.stderr))
			}
			for _, v := range []variant{oneNode, spread2} {
				t.Run(v.name, func(t *testing.T) {
					delay := 50*time.Millisecond + time.Duration(r.Int64N(int64(want.took)/2))
					job, ok := start(t, p.command, v), false
					for range 5 {
						if ok = job.saveAfter(delay, "--kill"); ok {
							break
						}
						job.wait()
						job, delay = start(t, p.command, v), delay/2
					}
					if !ok {
						t.Fatalf("it always ended before it could be saved")
					}
					job.killed()
					compare(t, p.command, want, job.restore("image", v).wait())
				})
			}
		})
	}
}

// TestCheckpointTwice restores a program while the one it was saved from still
// lives: both have the same process id, each in its own eyes.
func TestCheckpointTwice(t *testing.T) {
	for _, name := range []string{"carry_threads", "carry_signals", "carry_timers", "carry_fds"} {
		t.Run(name, func(t *testing.T) {
			g := readGuest(t, "guests/"+name+".c")
			job := start(t, command{path: g.build(t)}, oneNode)
			job.prints("READY\n")
			job.checkpoint("image")
			twin := job.restore("image", oneNode, "--name", job.id+"-twin")
			if !twin.answers(job.id + "-twin") {
				t.Fatalf("%s\nended before\n%s", twin.what, twin.printed())
			}
			job.goOn()
			twin.ends()
			job.ends()
			for _, r := range []*running{job, twin} {
				if code := exitCode(r.cmd.ProcessState); code != 0 {
					t.Errorf("%s: exit code %d\n%s", r.what, code, r.printed())
				}
			}
			if n := strings.Count(string(job.read(job.stdout.Name())), "EXIT-SUCCESS"); n != 2 {
				t.Errorf("%d of 2 ended right\n%s", n, job.printed())
			}
			job.nothingLeft(2 * time.Second)
		})
	}
}

// answers waits until the job called name does; false when it has ended before.
func (r *running) answers(name string) bool {
	r.t.Helper()
	for end := time.Now().Add(r.deadline); ; {
		out, err := r.popcorn(5*time.Second, "inspect", name)
		if err == nil {
			return true
		}
		select {
		case <-r.done:
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s\ndoes not answer: %v\n%s\n%s", r.what, err, out, r.threads())
		}
	}
}

// saveAfter saves the job when it has run for that long; false when it had ended.
func (r *running) saveAfter(delay time.Duration, flags ...string) bool {
	r.t.Helper()
	if time.Since(r.started) > r.deadline {
		r.endsWithin(0)
	}
	if !r.answers(r.id) {
		return false
	}
	select {
	case <-r.done:
		return false
	case <-time.After(delay): // the random moment
	}
	args := slices.Concat([]string{"checkpoint", r.id, "-o", r.image("image")}, flags)
	out, err := r.popcorn(60*time.Second, args...)
	switch {
	case err == nil:
		return true
	case r.over():
		return false
	}
	report := r.threads() + r.inspect(5*time.Second)
	r.kill()
	<-r.done
	r.t.Fatalf("%v: %v\n%s\n%s\n%s", args, err, out, r.printed(), report)
	return false
}

// TestCheckpointRunsOn saves a program and lets it run on: it ends right, and so
// does what is restored from the image later, though the files are other ones.
func TestCheckpointRunsOn(t *testing.T) {
	g := readGuest(t, "guests/moves_compute.c")
	c := command{path: g.build(t), args: []string{"1.5"}}
	for _, v := range []variant{oneNode, allAway} {
		t.Run(v.name, func(t *testing.T) {
			job := start(t, c, v)
			if !job.saveAfter(200 * time.Millisecond) {
				t.Fatal("it ended before it could be saved")
			}
			checkPromise(t, g, job.wait())
			checkPromise(t, g, job.restore("image", v).wait())
		})
	}
}

// TestCheckpointOften saves a program again and again, with threads at several
// nodes, in signal handlers and in calls: it does not notice, and the last image
// is as good as any.
func TestCheckpointOften(t *testing.T) {
	for _, name := range []string{"moves_threads", "moves_write", "moves_futex", "moves_epoll", "moves_events", "moves_nanosleep", "moves_poll", "moves_long", "moves_signals", "sig_alarm", "sig_write"} {
		for _, v := range []variant{oneNode, allAway, spread3} {
			t.Run(name+"/"+v.name, func(t *testing.T) {
				g := readGuest(t, "guests/"+name+".c")
				args := map[string]string{"sig_alarm": "", "moves_long": "", "sig_write": full("300", "10000")}
				c := command{path: g.build(t), args: []string{full("2", "60")}, deadline: 5 * time.Minute}
				if a, given := args[name]; given {
					c.args = strings.Fields(a)
				}
				job, n := start(t, c, v), 0
				for job.saveAfter(0) {
					n++
				}
				checkPromise(t, g, job.wait())
				t.Logf("saved %d times", n)
				if n == 0 {
					t.Fatal("it ended before it could be saved")
				}
				checkPromise(t, g, job.restore("image", v).wait())
			})
		}
	}
}
