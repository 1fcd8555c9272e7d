package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"popcorn/internal/control"
	"popcorn/internal/image"
	"popcorn/internal/job"
)

// TestMain gives scripts two programs: popcorn, which tells what it would run,
// and fakejob, a supervisor without a guest.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"popcorn": func() {
			startJob = tellSpec
			os.Exit(Main(os.Args[1:]))
		},
		"fakejob": fakeJob,
	})
}

// tellSpec prints what of a Spec the command line decides, and takes its exit
// code from the program's argument "exit=N".
func tellSpec(_ context.Context, s job.Spec, _ job.Deputies, ready func(string)) (int, error) {
	fmt.Printf("path=%s argv=%q nodes=%d on=%d spread=%v stats=%q name=%q abi=%q log=%q idle=%v verify=%q follow=%v\n",
		s.Path, s.Argv, s.Nodes, s.On, s.Spread, s.StatsFile, s.Name, s.ABI, s.LogFile, s.IdlePoll, s.Verify, s.Follow)
	code := 0
	for _, a := range s.Argv {
		if a == "broken" {
			return 0, fmt.Errorf("start job: out of luck")
		}
		fmt.Sscanf(a, "exit=%d", &code)
	}
	ready("0badf00d")
	return code, nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "rt"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else every program ends a second late
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"job":   startFakeJob,

			"daemon":   startDaemon,
			"join":     func(ts *testscript.TestScript, neg bool, args []string) { joinDaemon(ts, "0", args) },
			"rejected": func(ts *testscript.TestScript, neg bool, args []string) { joinDaemon(ts, "5", args) },
		},
	})
}

// exits runs a command and wants the exit code given first; afterwards stdout
// and stderr look at its output.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s\n%s%s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// startFakeJob starts fakejob on a file with an Info and waits until it
// serves.
func startFakeJob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: job FILE")
	}
	exe, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), ":")[0], "fakejob"))
	ts.Check(err)
	cmd := exec.Command(exe, ts.MkAbs(args[0]))
	cmd.Env = []string{"XDG_RUNTIME_DIR=" + ts.Getenv("XDG_RUNTIME_DIR"), "PATH=" + ts.Getenv("PATH")}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		ts.Fatalf("fakejob: %q, %v", line, err)
	}
}

// fakeJob serves the Info in the file it is given until a signal is sent.
func fakeJob() {
	text, err := os.ReadFile(os.Args[1])
	must(err)
	b := &fakeBackend{ended: make(chan int, 1)}
	must(json.Unmarshal(text, &b.info))
	b.info.Started = time.Now()
	s, err := control.Serve(context.Background(), control.Entry{ID: b.info.ID, Name: b.info.Name, PID: b.info.PID}, b)
	must(err)
	fmt.Println("ready")
	code := <-b.ended
	b.ended <- code // for Wait
	s.Close()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakejob:", err)
		os.Exit(1)
	}
}

// fakeBackend moves threads in its Info only. Node 2 never answers; a job
// called locked refuses everything.
type fakeBackend struct {
	info  control.Info
	ended chan int
}

func (b *fakeBackend) Info(context.Context) (control.Info, error) { return b.info, nil }

func (b *fakeBackend) Migrate(_ context.Context, tids []int, node int, wait bool) error {
	switch {
	case b.info.Name == "locked":
		return fmt.Errorf("move job locked: its user is another: %w", control.ErrRefused)
	case node == 2:
		return fmt.Errorf("node 2 (127.0.0.1:1) is %w: connection refused", control.ErrUnreachable)
	}
	moved := 0
	for i := range b.info.Threads {
		for _, tid := range tids {
			if b.info.Threads[i].TID == tid {
				b.info.Threads[i].Node, moved = node, moved+1
			}
		}
		if len(tids) == 0 {
			b.info.Threads[i].Node = node
		}
	}
	if moved < len(tids) {
		return fmt.Errorf("move threads %v: %w", tids, control.ErrNoSuchThread)
	}
	return nil
}

func (b *fakeBackend) Kill(_ context.Context, sig int) error {
	b.ended <- 128 + sig
	return nil
}

func (b *fakeBackend) Pause(context.Context) error {
	b.info.State = control.StateStopped
	return nil
}

func (b *fakeBackend) Detach(context.Context) error {
	return fmt.Errorf("let program go: %w", control.ErrRefused)
}

func (b *fakeBackend) Resume(context.Context) error {
	b.info.State = control.StateRunning
	return nil
}

func (b *fakeBackend) Inspect(context.Context) (json.RawMessage, error) {
	return json.RawMessage(`{"version":1,"pages":{"sent":7}}`), nil
}

// Checkpoint finds an obstacle in a job when the file is called obstacle.
func (b *fakeBackend) Checkpoint(_ context.Context, r control.Checkpoint) (control.Checkpointed, error) {
	done := control.Checkpointed{Version: 1, Bytes: 4096, StoppedMS: 1.5, TookMS: 20}
	if r.Check || strings.HasSuffix(r.File, "obstacle") {
		done = control.Checkpointed{Version: 1, Obstacles: []image.Obstacle{{Thing: "socket:[7]", Owner: "descriptor 5", Why: "it is one", Do: "close it"}}}
	}
	return done, nil
}

func (b *fakeBackend) Wait(ctx context.Context) (int, error) {
	select {
	case code := <-b.ended:
		b.ended <- code
		return code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
