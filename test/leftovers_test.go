package test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one line of /proc.
type process struct {
	pid, ppid int
	state     string // one letter, proc_pid_stat(5)
	comm      string
	ours      bool // runs the product
}

func (p process) String() string { return fmt.Sprintf("%d (%s) %s", p.pid, p.comm, p.state) }

// readProcess parses /proc/PID/stat; false when the process is gone.
func readProcess(pid int) (process, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name stands in parentheses and may hold any character.
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if open < 0 || len(fields) < 2 {
		return process{}, false
	}
	ppid, _ := strconv.Atoi(fields[1])
	return process{pid: pid, ppid: ppid, state: fields[0], comm: string(stat[open+1 : end])}, true
}

// processes lists what belongs to this run: what carries its mark in its
// environment, what is the product, and what was orphaned and given to us.
// Tests run one after the other, so nobody else's is among them.
func (r *running) processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		r.t.Fatal(err)
	}
	var list []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, alive := readProcess(pid)
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		p.ours = popcornBin != "" && exe == popcornBin
		if alive && r.owns(p) {
			list = append(list, p)
		}
	}
	return list
}

func (r *running) owns(p process) bool {
	if b := r.beside; b != nil && (p.pid == b.cmd.Process.Pid || b.marks(p.pid)) {
		return false
	}
	if p.ppid == os.Getpid() && p.pid != r.cmd.Process.Pid {
		if p.state == "Z" {
			syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil) // an orphan's remains are ours to bury
			return false
		}
		return true
	}
	if p.state == "Z" || p.state == "X" {
		return false
	}
	return p.ours || r.marks(p.pid)
}

// marks tells whether a process has this run's mark in its environment.
func (r *running) marks(pid int) bool {
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	mark := []byte("POPCORN_TEST_ID=" + r.id)
	return slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(e []byte) bool { return bytes.Equal(e, mark) })
}

// files lists what is left in the runtime directory.
func (r *running) files() []string {
	var list []string
	filepath.WalkDir(r.runtimeDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return nil
	})
	return list
}

// nothingLeft checks that within grace no process and no file of the run is
// left. What is left is reported, killed and removed.
func (r *running) nothingLeft(grace time.Duration) {
	r.t.Helper()
	end := time.Now().Add(grace)
	for {
		procs, files := r.processes(), r.files()
		if len(procs) == 0 && len(files) == 0 {
			return
		}
		if time.Now().After(end) {
			r.t.Errorf("%s\nleft after %v: processes %v, files %v\n%s\n%s", r.what, grace, procs, files, r.printed(), r.threads())
			r.kill()
			return
		}
		time.Sleep(10 * time.Millisecond) // nothing signals the death of a stranger's child
	}
}

// kill ends everything the run started.
func (r *running) kill() {
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	for _, p := range r.processes() {
		syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

// diagnosis says what a hanging run is doing. It ends the product's own
// processes: Go prints all goroutines on SIGABRT, to the run's standard error.
func (r *running) diagnosis() string {
	report := r.threads() + r.inspect(5*time.Second)
	for _, p := range r.processes() {
		if p.ours {
			syscall.Kill(p.pid, syscall.SIGABRT)
		}
	}
	end := time.Now().Add(2 * time.Second)
	for time.Now().Before(end) && slices.ContainsFunc(r.processes(), func(p process) bool { return p.ours }) {
		time.Sleep(10 * time.Millisecond) // nothing signals the death of a stranger's child
	}
	return report + "goroutines:\n" + stacks(r.read(r.stderr.Name()))
}

// stacks leaves out the goroutines of the run time and of idle threads.
func stacks(dump []byte) string {
	var kept []string
	for _, g := range strings.Split(string(dump), "\n\n") {
		if strings.Contains(g, "popcorn/internal/") {
			kept = append(kept, g)
		}
	}
	return strings.Join(kept, "\n\n") + "\n"
}

// threads describes the run's processes: of a guest every thread's state, place
// in the kernel and call, of the product's how many threads wait where.
func (r *running) threads() string {
	var b strings.Builder
	for _, p := range r.processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		fmt.Fprintf(&b, "process %v ppid %d: %s\n", p, p.ppid, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.pid))
		waiting := map[string]int{}
		for _, task := range tasks {
			waiting[line(task, "wchan")]++
			if !p.ours {
				fmt.Fprintf(&b, "  thread %s %s wchan %s syscall %s %s\n", filepath.Base(task), line(task, "comm"),
					line(task, "wchan"), line(task, "syscall"), statusLines(task))
			}
		}
		if p.ours {
			fmt.Fprintf(&b, "  threads by wchan: %v\n", waiting)
		}
	}
	return b.String()
}

func line(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(data))
}

// statusLines picks what matters of proc_pid_status(5).
func statusLines(task string) string {
	var picked []string
	for _, l := range strings.Split(line(task, "status"), "\n") {
		switch name, value, _ := strings.Cut(l, ":"); name {
		case "State", "TracerPid", "SigPnd", "ShdPnd", "SigBlk", "Seccomp":
			picked = append(picked, name+"="+strings.TrimSpace(value))
		}
	}
	return strings.Join(picked, " ")
}

// popcorn runs another verb against the same runtime directory.
func (r *running) popcorn(limit time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, popcornBin, args...)
	cmd.Env = r.environ()
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}

func (r *running) inspect(limit time.Duration) string {
	if popcornBin == "" {
		return ""
	}
	out, err := r.popcorn(limit, "inspect", r.id)
	return fmt.Sprintf("popcorn inspect %s: %v\n%s", r.id, err, out)
}
