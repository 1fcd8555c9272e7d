package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	piped bool   // stdin comes through a pipe
	files map[string][]byte
	// collect names files the program writes into its working directory; they
	// are compared like standard output.
	collect []string
	// stderrToo says that standard error is deterministic as well.
	stderrToo bool
	deadline  time.Duration
}

// outcome is what a command did.
type outcome struct {
	stdout, stderr []byte
	stats          []byte // what --stats wrote
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
	base           string // everything of this run is below
	dir            string // working directory
	runtimeDir     string
	cmd            *exec.Cmd
	stdout, stderr *os.File
	started        time.Time
	deadline       time.Duration
	done           chan struct{} // closed when the first process was reaped
	collect        []string
	beside         *running // another that goes on, nil for none
	outlived       bool     // by jobs of its children, which end after it
}

var runs atomic.Int64

// start runs c as v says, in an empty directory of its own.
func start(t *testing.T, c command, v variant) *running {
	t.Helper()
	return launch(t, c, v, func(*running) {})
}

// launch is start with a last change to how the process is made.
func launch(t *testing.T, c command, v variant, change func(*running)) *running {
	t.Helper()
	r := &running{t: t, deadline: c.deadline, collect: c.collect, done: make(chan struct{})}
	if r.deadline == 0 {
		r.deadline = full(time.Minute, 5*time.Minute)
	}
	r.id = fmt.Sprintf("t%d-%d", os.Getpid(), runs.Add(1))
	r.base = filepath.Join(scratch, r.id)
	r.dir, r.runtimeDir = filepath.Join(r.base, "cwd"), filepath.Join(r.base, "run")
	for _, dir := range []string{r.dir, r.runtimeDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.RemoveAll(r.base) })
	for name, data := range c.files {
		if err := os.WriteFile(filepath.Join(r.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.cmd = r.assemble(c, v)
	r.stdout = r.create(filepath.Join(r.base, "stdout"))
	r.stderr = r.create(filepath.Join(r.base, "stderr"))
	r.cmd.Stdout, r.cmd.Stderr = r.stdout, r.stderr
	if c.stdin != "" {
		in, err := os.Open(c.stdin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		r.cmd.Stdin = in
		if c.piped {
			r.cmd.Stdin = struct{ io.Reader }{in} // no *os.File: os/exec makes a pipe and feeds it
			r.cmd.WaitDelay = time.Second
		}
	}
	change(r)
	r.started = time.Now()
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", r.what, err)
	}
	go func() {
		r.cmd.Wait() // the exit status is read from ProcessState
		close(r.done)
	}()
	t.Cleanup(func() { // when the test has failed on its way
		select {
		case <-r.done:
		default:
			r.kill()
			<-r.done
		}
	})
	return r
}

func (r *running) assemble(c command, v variant) *exec.Cmd {
	argv := append([]string{c.path}, c.args...)
	env := r.environ()
	if v.nodes > 0 {
		ours := []string{popcornBin, "run", "--name", r.id, "--stats", r.statsFile(), "--log", r.logFile()}
		argv = slices.Concat(ours, v.flags, []string{"--"}, argv)
		env = append(append(env, fmt.Sprintf("POPCORN_TEST_NODES=%d", v.nodes)), v.env...)
	}
	r.what = fmt.Sprintf("%s: %s", v.name, strings.Join(argv, " "))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = r.dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (r *running) statsFile() string { return filepath.Join(r.base, "stats.json") }
func (r *running) logFile() string   { return filepath.Join(r.base, "log") }

// environ is ours without what would change the product's behaviour, with the
// run's mark.
func (r *running) environ() []string {
	env := []string{"POPCORN_TEST_ID=" + r.id, "XDG_RUNTIME_DIR=" + r.runtimeDir, "XDG_CONFIG_HOME=" + r.runtimeDir,
		"XDG_STATE_HOME=" + filepath.Join(r.base, "state")}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		ours := strings.HasPrefix(name, "POPCORN_") && name != "POPCORN_VERIFY"
		if !ours && !strings.HasPrefix(name, "XDG_") && name != "PWD" {
			env = append(env, e)
		}
	}
	return env
}

func (r *running) create(path string) *os.File {
	f, err := os.Create(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { f.Close() })
	return f
}

// wait returns the outcome.
func (r *running) wait() outcome {
	r.t.Helper()
	r.endsWithin(r.deadline - time.Since(r.started))
	o := outcome{took: time.Since(r.started), code: exitCode(r.cmd.ProcessState), files: map[string][]byte{}}
	o.stdout, o.stderr = r.read(r.stdout.Name()), r.read(r.stderr.Name())
	o.stats = r.read(r.statsFile())
	for _, name := range r.collect {
		o.files[name] = r.read(filepath.Join(r.dir, name))
	}
	patience := time.Second
	if r.outlived {
		patience = 10 * time.Second
	}
	r.nothingLeft(patience)
	return o
}

// endsWithin waits for the end; a run that takes longer is diagnosed, killed, and
// fails the test.
func (r *running) endsWithin(limit time.Duration) {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(limit):
		report := r.diagnosis()
		r.kill()
		<-r.done
		r.t.Fatalf("%s\nstill running after %v; what it printed:\n%s\n%s", r.what, time.Since(r.started).Round(time.Second), r.printed(), report)
	}
}

// ends waits for the end of a program that has no longer to run.
func (r *running) ends() {
	r.t.Helper()
	r.endsWithin(r.deadline)
}

func (r *running) read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return data
}

// printed is the last of both streams and of the log, for a message.
func (r *running) printed() string {
	return fmt.Sprintf("stdout: %s\nstderr: %s\nlog: %s", tail(r.read(r.stdout.Name())), tail(r.read(r.stderr.Name())),
		tail(r.read(r.logFile())))
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
	if at := firstDifference(want.stderr, got.stderr); c.stderrToo && at >= 0 {
		t.Errorf("stderr differs from byte %d\nnative: %s\nhere:   %s", at, tail(want.stderr), tail(got.stderr))
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
