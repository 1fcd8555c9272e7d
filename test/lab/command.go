package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// noReport stands for the descriptor of a command nobody waits to see started.
const noReport = "-"

// startLimit bounds how long a host may take to be ready, or to start a command.
const startLimit = time.Minute

// afterExit bounds how long Wait waits for output a command's children hold open.
const afterExit = 10 * time.Second

// Command is argv to be run on the host, by root, in the root folder and in a
// session of its own. Its
// streams, environment and extra files may be set as usual; Dir may not, it is
// of the machine. Its Process is a door: it passes on the signals a process can
// catch, dies with the command and takes the command with it, and exits with the
// command's code, 128+N where signal N ended it. SIGSTOP stops only the door:
// see Kill and Freeze. With the host all its commands die.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, self)
	cmd.WaitDelay = afterExit
	cmd.Env = h.environment()
	m, err := h.running()
	if err != nil {
		cmd.Err = err
		return cmd
	}
	cmd.Args = append([]string{roleDoor, m.doorway(), noReport}, argv...)
	return cmd
}

// environment is the machine's at an origin and a plain one elsewhere.
func (h *Host) environment() []string {
	if h.origin {
		return os.Environ()
	}
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
}

// Program is a command that was started.
type Program struct {
	Cmd *exec.Cmd
	PID int // on its host

	once sync.Once
	err  error
}

// Start starts what Command made and returns when it runs; an error when it
// cannot be executed. The lab waits for it in the end if nobody else has.
func (h *Host) Start(cmd *exec.Cmd) (*Program, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	cmd.Args[2] = strconv.Itoa(2 + len(cmd.ExtraFiles))
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	p := &Program{Cmd: cmd}
	h.lab.mu.Lock()
	h.lab.programs = append(h.lab.programs, p)
	h.lab.mu.Unlock()
	return p, p.started(r)
}

// started reads the door's report: the process id, or a line's end and why it
// could not be executed.
func (p *Program) started(r *os.File) error {
	r.SetReadDeadline(time.Now().Add(startLimit))
	report, err := io.ReadAll(r)
	if err != nil {
		p.Cmd.Process.Kill()
		return errors.Join(fmt.Errorf("read report: %w", err), p.Wait())
	}
	id, why, _ := strings.Cut(string(report), "\n")
	if p.PID, err = strconv.Atoi(id); err != nil {
		return fmt.Errorf("start on host: %s: %w", why, p.Wait())
	}
	return nil
}

// Wait waits for its end, as exec.Cmd's does, any number of times.
func (p *Program) Wait() error {
	p.once.Do(func() { p.err = p.Cmd.Wait() })
	return p.err
}

// ByHand is the beginning of a shell command that runs a program on the host.
func (h *Host) ByHand() string {
	m, err := h.running()
	if err != nil {
		return fmt.Sprintf("echo %q; false", err)
	}
	return fmt.Sprintf("bash -c 'exec -a %s /proc/%d/exe %s - \"$@\"' -", roleDoor, os.Getpid(), m.doorway())
}
