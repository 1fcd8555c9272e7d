package test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWrongPrograms: what cannot be run is refused with a clear word and the
// exit code of a shell, before anything is started.
func TestWrongPrograms(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	save(t, plain, []byte("no program\n"), 0o644)
	elf32 := filepath.Join(dir, "elf32")
	save(t, elf32, tinyELF32(), 0o755)
	setuid := filepath.Join(dir, "setuid")
	save(t, setuid, must(os.ReadFile(guest(t, "api_basic"))), 0o755)
	if os.Getuid() == 0 {
		if err := os.Chown(setuid, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(setuid, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		root       bool // needs a file of another user
		v          variant
		code       int
		says       string
	}{
		{name: "missing", path: "/no/such/program", v: allAway, code: 127, says: "/no/such/program"},
		{name: "directory", path: "/usr", v: allAway, code: 126, says: "directory"},
		{name: "not-executable", path: plain, v: allAway, code: 126, says: plain},
		{name: "32-bit", path: elf32, v: allAway, code: 126, says: "32"},
		{name: "setuid", path: setuid, root: true, v: allAway, code: 126, says: "set"},
		{name: "no-such-node", path: "/bin/true", v: variant{nodes: 2, flags: []string{"--nodes", "2", "--on", "7"}}, code: 125, says: "7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root && os.Getuid() != 0 {
				t.Skip("needs root to make a file of another user")
			}
			o := run(t, command{path: c.path}, c.v)
			if o.code != c.code || !strings.Contains(string(o.stderr), c.says) || !bytes.HasPrefix(o.stderr, []byte("popcorn: ")) {
				t.Errorf("exit code %d, expected %d and a word about %q\nstderr: %s", o.code, c.code, c.says, o.stderr)
			}
			if len(o.stdout) > 0 {
				t.Errorf("stdout: %s", o.stdout)
			}
		})
	}
}

// TestDenied: where a container forbids what popcorn needs, or the user may
// not, it says so and exits with 125; or it finds another way, and then the
// program runs as ever.
func TestDenied(t *testing.T) {
	program := command{path: guest(t, "api_mt"), args: []string{"4", "3"}}
	want := run(t, program, native)
	deny := guest(t, "deny")
	for name, number := range map[string]int{"ptrace": syscall.SYS_PTRACE, "seccomp": 317, "userfaultfd": 323, "memfd_create": 319} {
		t.Run(name, func(t *testing.T) {
			r := launch(t, program, allAway, func(r *running) {
				r.cmd.Args = append([]string{deny, strconv.Itoa(number)}, r.cmd.Args...)
				r.cmd.Path = deny
			})
			clearOrRight(t, program, want, r.wait())
		})
	}
	t.Run("rights", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("needs root to become somebody else")
		}
		r := launch(t, program, allAway, (*running).asNobody)
		clearOrRight(t, program, want, r.wait())
	})
}

// TestDeniedLate: what a machine lacks for moving threads is nothing to a
// program that stays home. One that tries to leave is refused and runs on.
func TestDeniedLate(t *testing.T) {
	program := command{path: "/bin/sh", args: []string{"-c", "echo right; exit 3"}}
	want := run(t, program, native)
	deny := guest(t, "deny")
	for name, number := range map[string]int{"seccomp": 317, "userfaultfd": 323} {
		t.Run(name, func(t *testing.T) {
			r := launch(t, program, oneNode, func(r *running) {
				r.cmd.Args = append([]string{deny, strconv.Itoa(number)}, r.cmd.Args...)
				r.cmd.Path = deny
			})
			compare(t, program, want, r.wait())
		})
	}
	t.Run("rights", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("needs root to become somebody else")
		}
		c := command{path: guest(t, "refused")}
		r := launch(t, c, variant{name: "home2", nodes: 2, flags: []string{"--nodes", "2"}}, (*running).asNobody)
		checkPromise(t, guestSource{}, r.wait())
	})
}

// asNobody has the run made by a user without rights.
func (r *running) asNobody() {
	for _, path := range []string{r.base, r.dir, r.runtimeDir} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			r.t.Fatal(err)
		}
	}
	r.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
}

const nobody = 65534

// clearOrRight accepts the native outcome, or a clear refusal.
func clearOrRight(t *testing.T, c command, want, got outcome) {
	t.Helper()
	if got.code != 125 {
		compare(t, c, want, got)
		return
	}
	if !bytes.HasPrefix(got.stderr, []byte("popcorn: ")) || len(got.stdout) > 0 {
		t.Errorf("exit code 125 without a clear word\nstdout: %s\nstderr: %s", got.stdout, got.stderr)
	}
	t.Logf("refused: %s", bytes.TrimSpace(got.stderr))
}

func save(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}

// tinyELF32 is a 32-bit program of one call, exit(0); elf(5).
func tinyELF32() []byte {
	const base, start = 0x08048000, 52 + 32
	code := []byte{0x31, 0xdb, 0x31, 0xc0, 0x40, 0xcd, 0x80} // xor ebx,ebx; xor eax,eax; inc eax; int 0x80
	var b bytes.Buffer
	b.WriteString("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 9))
	for _, field := range []any{
		[]uint16{2, 3}, []uint32{1, base + start, 52, 0, 0}, []uint16{52, 32, 1, 0, 0, 0},
		[]uint32{1, 0, base, base, uint32(start + len(code)), uint32(start + len(code)), 5, 0x1000}, code,
	} {
		binary.Write(&b, binary.LittleEndian, field) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

// TestSilentJob: verbs on a job whose supervisor does not answer say so, and do
// not wait for ever; on one that has ended they say that.
func TestSilentJob(t *testing.T) {
	job := start(t, command{path: "/bin/sleep", args: []string{"1000"}}, allAway)
	p := job.partsWhen(func(p parts) bool { return at(p.Supervisors, 0) != 0 })
	supervisor := at(p.Supervisors, 0)
	if err := syscall.Kill(supervisor, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const patience = 15 * time.Second
	out, err := job.popcorn(patience, "where", job.id)
	if err == nil || !bytes.Contains(out, []byte("no answer")) {
		t.Errorf("where, of a silent job: %v: %s", err, out)
	}
	if out, err := job.popcorn(patience, "ps"); err != nil || !bytes.Contains(out, []byte("silent")) {
		t.Errorf("ps, with a silent job: %v: %s", err, out)
	}
	if err := syscall.Kill(supervisor, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if out, err := job.popcorn(patience, "kill", job.id); err != nil {
		t.Errorf("kill: %v: %s", err, out)
	}
	if o := job.wait(); o.code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d\nstderr: %s", o.code, o.stderr)
	}
	for _, verb := range [][]string{{"where"}, {"inspect"}, {"wait"}, {"kill"}, {"migrate", "0"}} {
		args := append([]string{verb[0], job.id}, verb[1:]...)
		out, err := job.popcorn(patience, args...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 || !bytes.Contains(out, []byte("no such job")) {
			t.Errorf("%s, of a job that has ended: %v: %s", verb[0], err, out)
		}
	}
}

// TestSandboxed: a program under a filter of its own, which would end it for a call that
// it does not expect, is not touched, and whoever wants to move it is told why.
func TestSandboxed(t *testing.T) {
	path, v := readGuest(t, "guests/refused_sandboxed.c").build(t), variant{name: "nodes2", nodes: 2, flags: []string{"--nodes", "2"}}
	job := start(t, command{path: path}, v)
	job.prints("READY")
	out, err := job.popcorn(30*time.Second, "migrate", job.id, "1")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 || !bytes.Contains(out, []byte("seccomp filter")) {
		t.Errorf("migrate: %v: %s", err, out)
	}
	job.goOn()
	checkPromise(t, guestSource{}, job.wait())

	// It would bind what works for us in the process, too.
	o := run(t, command{path: path, args: []string{"all"}}, v)
	if o.code != 125 || len(o.stdout) != 0 || !bytes.Contains(o.stderr, []byte("puts all its threads under a filter")) {
		t.Errorf("filter for all threads: exit code %d\nstdout: %s\nstderr: %s", o.code, o.stdout, o.stderr)
	}
}
