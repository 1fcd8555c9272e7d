package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"popcorn/internal/sys"
)

// spawner is the part of process 1 that starts commands and buries the dead,
// orphans too. Under its lock a child it knows has not been collected, so its
// number is its own.
type spawner struct {
	mu       sync.Mutex
	children map[int]chan int // exit codes to be, by process id
}

// serve answers doors; process 1 never stops doing it.
func (s *spawner) serve(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			fmt.Fprintln(os.Stderr, "lab: accept command:", err)
			return
		}
		go s.answer(c) // until the command and its door have ended, or the host
	}
}

func (s *spawner) answer(c *net.UnixConn) {
	defer c.Close()
	o, in, fds, err := receive(c)
	pid, code, done := 0, exitOurs, chan int(nil)
	if err == nil {
		pid, done, code, err = s.start(o, fds)
	}
	for _, fd := range fds {
		sys.Close(fd)
	}
	tell := json.NewEncoder(c)
	if err != nil {
		tell.Encode(news{Error: err.Error(), Code: code})
		return
	}
	tell.Encode(news{PID: pid})
	go s.obey(in, pid) // until the door's end, which comes after our last word
	tell.Encode(news{Done: true, Code: <-done})
}

// start starts a command; code tells the door how to exit where that fails.
func (s *spawner) start(o order, fds []int) (pid int, done chan int, code int, err error) {
	if len(o.Argv) == 0 {
		return 0, nil, exitOurs, errors.New("no command")
	}
	path, err := find(o)
	if err != nil {
		code = exitCannot
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			code = exitNotFound
		}
		return 0, nil, code, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err = sys.Spawn(path, sys.SpawnAttr{Argv: o.Argv, Env: o.Env, Dir: "/", Files: spread(o.Files, fds), Session: true})
	if err != nil {
		return 0, nil, exitCannot, fmt.Errorf("execute %s: %w", path, err)
	}
	done = make(chan int, 1)
	s.children[pid] = done
	return pid, done, 0, nil
}

// find looks in the order's own PATH, not in process 1's.
func find(o order) (string, error) {
	if strings.Contains(o.Argv[0], "/") {
		return exec.LookPath(o.Argv[0])
	}
	for _, e := range o.Env {
		list, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(list, ":") {
			if path, err := exec.LookPath(dir + "/" + o.Argv[0]); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("find %s on host: %w", o.Argv[0], exec.ErrNotFound)
}

// spread puts descriptors at the numbers wanted, which rise.
func spread(numbers, fds []int) []int {
	var files []int
	for i, n := range numbers {
		for len(files) < n {
			files = append(files, -1)
		}
		files = append(files, fds[i])
	}
	return files
}

// obey signals the command as its door says, and kills it when the door has gone.
func (s *spawner) obey(in *bufio.Reader, pid int) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			s.signal(pid, sys.SIGKILL)
			return
		}
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			s.signal(pid, sys.Signal(n))
		}
	}
}

func (s *spawner) signal(pid int, sig sys.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.children[pid] != nil {
		sys.Kill(pid, sig)
	}
}

// bury collects the dead, for as long as the host lives.
func (s *spawner) bury() {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, unix.SIGCHLD)
	for range ends {
		for s.buryOne() {
		}
	}
}

func (s *spawner) buryOne() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, status, _, err := sys.Wait(-1, unix.WNOHANG)
	if err != nil || pid <= 0 {
		return false
	}
	done := s.children[pid]
	delete(s.children, pid)
	if done == nil {
		return true // an orphan
	}
	if status.Signaled() {
		done <- 128 + int(status.Signal())
	} else {
		done <- status.ExitStatus()
	}
	return true
}
