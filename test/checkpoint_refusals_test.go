package test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCheckpointObstacles: what cannot be saved is named, with its owner, before
// anything is done, and the program runs on to its end.
func TestCheckpointObstacles(t *testing.T) {
	g := readGuest(t, "guests/obstacles.c")
	for what, want := range map[string][]string{
		"socket":  {"socket:[", "descriptor 5", "sockets are not carried yet"},
		"bound":   {"socket:[", "descriptor 5", "sockets are not carried yet"},
		"shut":    {"socket:[", "descriptor 5", "one direction"},
		"inotify": {"anon_inode:inotify", "descriptor 5"},
		"child":   {"child process", "thread", "process trees"},
		"fifo":    {"/fifo", "descriptor 5", "named pipes"},
		"shm":     {"SYSV", "System V"},
		"ids":     {"credentials", "real, effective and saved ids differ"},
		"none":    nil,
	} {
		t.Run(what, func(t *testing.T) {
			r := start(t, command{path: g.build(t), args: []string{what}}, oneNode)
			r.prints("READY\n")
			out, err := r.popcorn(20*time.Second, "checkpoint", "--check", r.id)
			if (err == nil) != (want == nil) || err != nil && err.(*exec.ExitError).ExitCode() != 1 {
				t.Errorf("checkpoint --check: %v\n%s", err, out)
			}
			refused, err := r.popcorn(20*time.Second, "checkpoint", r.id, "-o", r.image("image"), "--json")
			if want != nil && (err == nil || err.(*exec.ExitError).ExitCode() != 5) {
				t.Errorf("checkpoint: %v, want it refused with 5\n%s", err, refused)
			}
			for _, w := range want {
				if !strings.Contains(string(out), w) || !strings.Contains(string(refused), w) {
					t.Errorf("%q is not among\n%s\n%s", w, out, refused)
				}
			}
			if _, err := os.Stat(r.image("image")); (err == nil) != (want == nil) {
				t.Errorf("image: %v", err)
			}
			r.goOn()
			checkPromise(t, g, r.wait())
		})
	}
}

// savedCounter is a guest that was saved and ended.
func savedCounter(t *testing.T) *running {
	t.Helper()
	r := start(t, command{path: guest(t, "carry_files")}, oneNode)
	r.prints("READY\n")
	r.checkpoint("image", "--kill")
	r.killed()
	r.goOn()
	return r
}

// TestRestoreRefuses: a damaged image, a newer one, and files that have changed
// are refused by name, and nothing is started.
func TestRestoreRefuses(t *testing.T) {
	r := savedCounter(t)
	whole := r.read(r.image("image"))
	file := func(change func(b []byte) []byte) func() {
		return func() {
			if err := os.WriteFile(r.image("image"), change(slices.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	in := func(name, content string) func() {
		return func() {
			if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, log := string(r.read(filepath.Join(r.dir, "out"))), string(r.read(filepath.Join(r.dir, "log")))
	for _, c := range []struct {
		name, want string
		spoil      func()
	}{
		{"flipped bit of the head", "damaged", file(func(b []byte) []byte { b[700] ^= 4; return b })},
		{"flipped bit of memory", "checksum", file(func(b []byte) []byte { b[len(b)-3000] ^= 1; return b })},
		{"cut short", "damaged", file(func(b []byte) []byte { return b[:len(b)-1] })},
		{"no image", "not a checkpoint", file(func(b []byte) []byte { return []byte("hello") })},
		{"newer", "newer format", file(func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"Version":1,`, `"Version":7,`, 1))
		})},
		{"a longer file", "log: it has changed since the checkpoint: it has 9 bytes, not 4", in("log", log+"more\n")},
		{"a rewritten file", "out: it has changed since the checkpoint: it was written later", in("out", strings.ToUpper(out))},
	} {
		t.Run(c.name, func(t *testing.T) {
			os.WriteFile(r.image("image"), whole, 0o600)
			times := restoreLater(t, filepath.Join(r.dir, "out"), filepath.Join(r.dir, "log"))
			c.spoil()
			n := r.restore("image", oneNode)
			n.ends()
			text := string(r.read(r.stderr.Name()))
			if code := exitCode(n.cmd.ProcessState); code != 125 || !strings.Contains(text, c.want) {
				t.Errorf("exit code %d, want 125 and %q in\n%s", code, c.want, tail([]byte(text)))
			}
			n.nothingLeft(2 * time.Second)
			times()
		})
	}
	os.WriteFile(r.image("image"), whole, 0o600)
	checkPromise(t, guestSource{}, r.restore("image", oneNode).wait())
}

// restoreLater notes files' contents and times, and puts them back when called.
func restoreLater(t *testing.T, names ...string) func() {
	t.Helper()
	var undo []func()
	for _, name := range names {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(name)
		undo = append(undo, func() {
			os.WriteFile(name, data, 0o600)
			os.Chtimes(name, time.Time{}, fi.ModTime())
		})
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

// TestCheckpointCompressed: an image whose name says so is compressed, smaller, what
// zstd makes an ELF core file of, and as good as any; a damaged one is refused.
func TestCheckpointCompressed(t *testing.T) {
	g := readGuest(t, "guests/carry_memory.c")
	r := start(t, command{path: g.build(t)}, spread2)
	r.prints("READY\n")
	r.checkpoint("plain")
	r.checkpoint("image.zst", "--kill")
	r.killed()
	r.goOn()
	plain, small := r.read(r.image("plain")), r.read(r.image("image.zst"))
	if len(small) == 0 || len(small) > len(plain)/2 {
		t.Errorf("compressed it has %d bytes, and %d as it is", len(small), len(plain))
	}
	elf, err := exec.Command("zstd", "-dc", r.image("image.zst")).Output()
	if err != nil || !strings.HasPrefix(string(elf), "\x7fELF") {
		t.Errorf("zstd -dc: %v, %.20q", err, elf)
	}
	for what, b := range map[string][]byte{"flipped bit": flipped(small), "cut": small[:len(small)/2]} {
		if err := os.WriteFile(r.image("damaged"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := r.popcorn(20*time.Second, "restore", r.image("damaged"))
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 125 || !strings.Contains(string(out), "damaged") {
			t.Errorf("%s: %v: %s", what, err, out)
		}
	}
	checkPromise(t, g, r.restore("image.zst", spread2).wait())
}

func flipped(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)/2] ^= 8
	return b
}

// TestCheckpointKilled kills the supervisor at random moments of writing an
// image: the one of before is still whole, or the new one is.
func TestCheckpointKilled(t *testing.T) {
	rnd := random(t)
	good := savedCounter(t)
	image := good.read(good.image("image"))
	g := readGuest(t, "guests/carry_big.c")
	for range full(6, 200) {
		r := start(t, command{path: g.build(t), args: []string{"64"}}, oneNode)
		r.prints("READY\n")
		os.WriteFile(r.image("image"), image, 0o600)
		supervisor := at(r.parts().Supervisors, 0)
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			r.popcorn(20*time.Second, "checkpoint", r.id, "-o", r.image("image"))
		}()
		time.Sleep(time.Duration(rnd.IntN(900_000)) * time.Microsecond) // the random moment
		syscall.Kill(supervisor, syscall.SIGKILL)
		<-asked
		r.ends()
		r.nothingLeft(5 * time.Second)
		out, err := r.popcorn(60*time.Second, "restore", "--check", r.image("image"))
		old, fresh := strings.Contains(string(out), "carry_files"), strings.Contains(string(out), "carry_big")
		if err != nil || old == fresh {
			t.Fatalf("what is there after the kill is no image: %v\n%s", err, out)
		}
		t.Logf("the image is the new one: %v", fresh)
	}
}

// TestDebugger: gdb shows every thread of a checkpoint where it stood.
func TestDebugger(t *testing.T) {
	gdb, err := exec.LookPath("gdb")
	if err != nil {
		t.Fatal("gdb is not installed; make deps does that")
	}
	program := guest(t, "carry_threads")
	for _, v := range []variant{oneNode, spread2} {
		t.Run(v.name, func(t *testing.T) {
			r := start(t, command{path: program}, v)
			r.prints("READY\n")
			r.checkpoint("image")
			r.goOn()
			r.wait()
			out, err := exec.Command(gdb, "-nx", "-batch", "-ex", "info threads", "-ex", "thread apply all bt", program, r.image("image")).CombinedOutput()
			if err != nil {
				t.Fatalf("gdb: %v\n%s", err, out)
			}
			text := string(out)
			if n := strings.Count(text, "waits (arg="); n < 6 {
				t.Errorf("%d of 6 threads stand in waits", n)
			}
			for _, want := range []string{"spins (arg=", "saved ()", "main ()", "Core was generated by `" + program} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q", want)
				}
			}
			if t.Failed() {
				t.Logf("%s", tail(out))
			}
			elf, err := exec.Command("readelf", "-hln", r.image("image")).CombinedOutput()
			if err != nil || !strings.Contains(string(elf), "CORE (Core file)") || strings.Contains(string(elf), "readelf: ") {
				t.Errorf("readelf: %v\n%s", err, tail(elf))
			}
		})
	}
}

// TestRestoreBeside restores a program while it runs: on several nodes that is refused,
// for its process ids are taken; on one it goes on beside itself, in the background too.
func TestRestoreBeside(t *testing.T) {
	g := readGuest(t, "guests/carry_memory.c")
	r := start(t, command{path: g.build(t), args: g.args()}, allAway)
	r.prints("READY\n")
	r.checkpoint("image")
	n := r.restore("image", allAway)
	n.ends()
	if text, code := string(r.read(r.stderr.Name())), exitCode(n.cmd.ProcessState); code != 125 || !strings.Contains(text, "process ids are taken") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	out, err := r.popcorn(r.deadline, "restore", "-d", r.image("image"))
	id := strings.TrimSpace(string(out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:]))
	if err != nil {
		t.Fatalf("restore -d: %v\n%s", err, out)
	}
	r.goOn()
	if out, err := r.popcorn(r.deadline, "wait", id); err != nil || string(out) != "0\n" {
		t.Errorf("wait %q: %v\n%s", id, err, out)
	}
	if copied := string(r.read(filepath.Join(r.base, "state/popcorn/jobs", id+".out"))); copied != "EXIT-SUCCESS\n" {
		t.Errorf("the copy printed %q", copied)
	}
	checkPromise(t, g, r.wait())
}
