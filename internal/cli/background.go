package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
	"popcorn/internal/node"
	"popcorn/internal/sys"
)

// backgroundEnv tells a run that it is the part of run -d that stays: it is the
// number of the descriptor by which it tells that the program runs.
const backgroundEnv = "POPCORN_BACKGROUND"

// backgroundJob is what run -d remembers of a program.
type backgroundJob struct {
	Version  int      `json:"version"`
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Command  []string `json:"command"`
	RunPID   int      `json:"run_pid"`
	ExitCode *int     `json:"exit_code"` // nil until it has ended
}

// jobsDir is where programs that run in the background write to.
func jobsDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "popcorn", "jobs")
	}
	return filepath.Join(node.DefaultState(), "jobs")
}

// runBehind starts this very command once more, in a session of its own, and waits
// until the program runs or its start has failed.
func runBehind(cmd *cobra.Command) error {
	dir := jobsDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ours(fmt.Errorf("make directory for what the program prints: %w", err))
	}
	out, err := os.CreateTemp(dir, "starting-*.out")
	if err != nil {
		return ours(fmt.Errorf("make file for what the program prints: %w", err))
	}
	defer out.Close()
	pid, told, err := spawnBehind(out)
	if err != nil {
		os.Remove(out.Name())
		return ours(fmt.Errorf("start popcorn %s in the background: %w", cmd.Name(), err))
	}
	defer told.Close()
	id, err := io.ReadAll(told)
	if err != nil || len(id) == 0 {
		return neverRan(cmd, out, pid)
	}
	name := filepath.Join(dir, string(id)+".out")
	if err := os.Rename(out.Name(), name); err != nil {
		name = out.Name()
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "popcorn: what it prints is in %s\n", name)
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n", id)
	return nil
}

// spawnBehind returns the end of a pipe from which the job's id comes, or nothing.
func spawnBehind(out *os.File) (pid int, told *os.File, err error) {
	told, tell, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer tell.Close()
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer null.Close()
		err = sys.SetCloexec(int(tell.Fd()), false)
	}
	if err == nil {
		pid, err = sys.Spawn("/proc/self/exe", sys.SpawnAttr{Argv: os.Args, Session: true,
			Env:   append(os.Environ(), fmt.Sprintf("%s=%d", backgroundEnv, tell.Fd())),
			Files: []int{int(null.Fd()), int(out.Fd()), int(out.Fd())}})
	}
	if err != nil {
		told.Close()
		return 0, nil, err
	}
	return pid, told, nil
}

// neverRan says what the part in the background said, and ends with its code.
func neverRan(cmd *cobra.Command, out *os.File, pid int) error {
	_, status, _, err := sys.Wait(pid, 0)
	said, readErr := os.ReadFile(out.Name())
	os.Remove(out.Name())
	if err = errors.Join(err, readErr); err != nil {
		return ours(fmt.Errorf("wait for popcorn %s in the background: %w", cmd.Name(), err))
	}
	cmd.ErrOrStderr().Write(said)
	if !status.Exited() {
		return exitf(exitOurs, "popcorn %s was ended by signal %d before the program ran", cmd.Name(), status.Signal())
	}
	return &exitError{code: status.ExitStatus()}
}

// behind is the part of run -d that stays; nil in any other run.
type behind struct {
	tell *os.File
	job  backgroundJob
}

// isBehind has to be asked before anything opens descriptors.
func isBehind() *behind {
	fd, err := strconv.Atoi(os.Getenv(backgroundEnv))
	if err != nil {
		return nil
	}
	os.Unsetenv(backgroundEnv)           // the program may call popcorn itself
	if sys.SetCloexec(fd, true) != nil { // nor shall it keep the pipe
		return nil
	}
	return &behind{tell: os.NewFile(uintptr(fd), "pipe to popcorn run -d")}
}

// runs is told when the program does.
func (b *behind) runs(id string) {
	b.job.Version, b.job.ID, b.job.RunPID = 1, id, os.Getpid()
	if err := b.job.write(); err != nil {
		fmt.Fprintf(os.Stderr, "popcorn: %v\n", err)
	}
	b.tell.WriteString(id) // who started it may be gone
	b.tell.Close()
}

// ended notes the exit code, for popcorn wait.
func (b *behind) ended(code int) error {
	if b.job.ID == "" {
		return nil
	}
	b.job.ExitCode = &code
	return b.job.write()
}

func (j *backgroundJob) write() error {
	text, err := json.Marshal(j)
	if err == nil {
		file := filepath.Join(jobsDir(), j.ID+".json")
		if err = os.WriteFile(file+".tmp", append(text, '\n'), 0o600); err == nil {
			err = os.Rename(file+".tmp", file)
		}
	}
	if err != nil {
		return fmt.Errorf("note what became of job %s: %w", j.ID, err)
	}
	return nil
}

// endedBehind is the exit code of the last program with that id or name that run -d
// has started. When its job is not there, its run may be about to note the code, or
// to go on from a checkpoint: its end is waited for. The error is
// control.ErrNoSuchJob when there is no such program.
func endedBehind(ctx context.Context, ref string) (int, error) {
	j := startedBehind(ref)
	if j == nil {
		return 0, control.ErrNoSuchJob
	}
	for j.ExitCode == nil && j.runs() {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if fd, err := sys.PidfdOpen(j.RunPID, 0); err == nil {
			sys.AwaitPidfd(fd, glance)
			sys.Close(fd)
		}
	}
	j = startedBehind(j.ID)
	if j == nil || j.ExitCode == nil {
		return 0, fmt.Errorf("nobody knows with what exit code %s has ended: its popcorn run was killed", ref)
	}
	return *j.ExitCode, nil
}

// glance is how soon a wait notices that it is given up.
const glance = 200 * time.Millisecond

// runs tells whether the run that stayed in the background does: its process id may
// be another's by now.
func (j *backgroundJob) runs() bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", j.RunPID))
	return err == nil && bytes.Contains(environ, []byte("\x00"+backgroundEnv+"="))
}

func startedBehind(ref string) *backgroundJob {
	files, _ := filepath.Glob(filepath.Join(jobsDir(), "*.json")) // the pattern is right
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(changed(b), changed(a)) })
	for _, file := range files {
		var j backgroundJob
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &j) == nil && ref != "" && (j.ID == ref || j.Name == ref) {
			return &j
		}
	}
	return nil
}

// changed is when a file was, in words that sort.
func changed(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return info.ModTime().UTC().Format("20060102150405.000000000")
}
