package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// command is a program to run, the same natively and under popcorn.
type command struct {
	path  string
	args  []string
	stdin string // a file; none: /dev/null
	files map[string][]byte
	// collect names files the program writes into its working directory; they
	// are compared like standard output.
	collect  []string
	deadline time.Duration
}

// outcome is what a command did.
type outcome struct {
	stdout, stderr []byte
	files          map[string][]byte
	code           int // 128+N when signal N ended it
	took           time.Duration
}

// running is a command that was started. Its streams are files: a pipe would
// stay open, and wait never return, when a run leaves a process behind.
type running struct {
	t              *testing.T
	what           string
	id             string // its mark in the environment, and the job's name
	dir            string // working directory
	runtimeDir     string
	cmd            *exec.Cmd
	stdout, stderr *os.File
	started        time.Time
	deadline       time.Duration
	done           chan struct{} // closed when the first process was reaped
	collect        []string
}

var runs atomic.Int64

// start runs c as v says, in an empty directory of its own.
func start(t *testing.T, c command, v variant) *running {
	t.Helper()
	r := &running{t: t, deadline: c.deadline, collect: c.collect, done: make(chan struct{})}
	if r.deadline == 0 {
		r.deadline = 60 * time.Second
	}
	r.id = fmt.Sprintf("t%d-%d", os.Getpid(), runs.Add(1))
	base := filepath.Join(scratch, r.id)
	r.dir, r.runtimeDir = filepath.Join(base, "cwd"), filepath.Join(base, "run")
	for _, dir := range []string{r.dir, r.runtimeDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	for name, data := range c.files {
		if err := os.WriteFile(filepath.Join(r.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.cmd = r.assemble(c, v)
	r.stdout = r.create(filepath.Join(base, "stdout"))
	r.stderr = r.create(filepath.Join(base, "stderr"))
	r.cmd.Stdout, r.cmd.Stderr = r.stdout, r.stderr
	if c.stdin != "" {
		in, err := os.Open(c.stdin)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		r.cmd.Stdin = in
	}
	r.started = time.Now()
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", r.what, err)
	}
	go func() {
		r.cmd.Wait() // the exit status is read from ProcessState
		close(r.done)
	}()
	return r
}

func (r *running) assemble(c command, v variant) *exec.Cmd {
	argv := append([]string{c.path}, c.args...)
	env := []string{"POPCORN_TEST_ID=" + r.id, "XDG_RUNTIME_DIR=" + r.runtimeDir}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		ours := strings.HasPrefix(name, "POPCORN_") && name != "POPCORN_VERIFY"
		if !ours && name != "XDG_RUNTIME_DIR" && name != "PWD" {
			env = append(env, e)
		}
	}
	if v.nodes > 0 {
		argv = append(append([]string{popcornBin, "run", "--name", r.id}, v.flags...), append([]string{"--"}, argv...)...)
		env = append(append(env, fmt.Sprintf("POPCORN_TEST_NODES=%d", v.nodes)), v.env...)
	}
	r.what = fmt.Sprintf("%s: %s", v.name, strings.Join(argv, " "))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = r.dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (r *running) create(path string) *os.File {
	f, err := os.Create(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { f.Close() })
	return f
}

// wait returns the outcome. A run that outlives its deadline is diagnosed,
// killed, and fails the test.
func (r *running) wait() outcome {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(r.deadline - time.Since(r.started)):
		report := r.diagnosis()
		r.kill()
		<-r.done
		r.t.Fatalf("%s\nstill running after %v; what it printed:\n%s\n%s", r.what, r.deadline, r.printed(), report)
	}
	o := outcome{took: time.Since(r.started), code: exitCode(r.cmd.ProcessState), files: map[string][]byte{}}
	o.stdout, o.stderr = r.read(r.stdout.Name()), r.read(r.stderr.Name())
	for _, name := range r.collect {
		o.files[name] = r.read(filepath.Join(r.dir, name))
	}
	r.nothingLeft(time.Second)
	return o
}

func (r *running) read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return data
}

// printed is the last of both streams, for a message.
func (r *running) printed() string {
	return fmt.Sprintf("stdout: %s\nstderr: %s", tail(r.read(r.stdout.Name())), tail(r.read(r.stderr.Name())))
}

func tail(b []byte) string {
	const most = 4000
	if len(b) > most {
		return "..." + string(b[len(b)-most:])
	}
	return string(b)
}

// exitCode is a shell's: 128+N when signal N ended the process.
func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// run is start and wait.
func run(t *testing.T, c command, v variant) outcome {
	t.Helper()
	return start(t, c, v).wait()
}

// compare checks one run against the native one.
func compare(t *testing.T, c command, want, got outcome) {
	t.Helper()
	if got.code != want.code {
		t.Errorf("exit code %d, natively %d\nstdout: %s\nstderr: %s", got.code, want.code, tail(got.stdout), tail(got.stderr))
	}
	if at := firstDifference(want.stdout, got.stdout); at >= 0 {
		t.Errorf("stdout differs from byte %d (%d bytes, natively %d)\nnative: %s\nhere:   %s\nstderr: %s", at,
			len(got.stdout), len(want.stdout), around(want.stdout, at), around(got.stdout, at), tail(got.stderr))
	}
	for _, name := range c.collect {
		if at := firstDifference(want.files[name], got.files[name]); at >= 0 {
			t.Errorf("file %s differs from byte %d (%d bytes, natively %d)", name, at, len(got.files[name]), len(want.files[name]))
		}
	}
}

// firstDifference is the offset where a and b part, -1 when they are equal.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// around quotes what stands near an offset.
func around(b []byte, at int) string {
	return fmt.Sprintf("%.120q", b[max(0, at-40):min(len(b), at+80)])
}
