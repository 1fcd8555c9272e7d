package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// TestTerminal has an interactive shell run programs: their job control is the same
// natively and with everything away.
func TestTerminal(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Fatal("bash is not installed")
	}
	for _, v := range []variant{native, allAway, spread2} {
		t.Run(v.name, func(t *testing.T) {
			s := openShell(t, v)
			s.talk()
			for range full(3, 30) {
				s.hurry()
			}
			chance := random(t)
			for range full(5, 100) {
				s.early(chance)
			}
			for range full(2, 50) { // who is continued first is chance
				s.background()
			}
			s.quit()
			s.end()
		})
	}
}

// talk has a program read lines, catch Ctrl-C and changes of the window's size,
// stop, and go on in the foreground.
func (s *shell) talk() {
	s.t.Helper()
	s.types(s.program + "\n")
	s.expect("ready\r\n")
	s.types("hello\n")
	s.expect("line hello\r\n")
	s.types("\x03")
	s.expect("interrupted 1\r\n")
	s.resize(33, 99)
	s.expect("size 33 99\r\n")
	s.types("half a \x1a")
	s.expect("Stopped")
	s.types("jobs\n")
	s.expect("Stopped")
	s.types("fg\n")
	s.types("again\n")
	s.expect("line again\r\n")
	s.types("\x03")
	s.expect("interrupted 2\r\n")
	s.types("done\n")
	s.expect("done 2\r\n")
	s.expect("$ ")
	s.types("echo code=$?\n")
	s.expect("code=3\r\n")
}

// hurry sends what a shell started SIGINT, and then types Ctrl-C and at once Ctrl-Z:
// each interrupts the program once, however late popcorn run comes to it.
func (s *shell) hurry() {
	s.t.Helper()
	s.types(s.program + "\n")
	s.expect("ready\r\n")
	if err := syscall.Kill(s.foreground(), syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	s.expect("interrupted 1\r\n")
	s.types("\x03\x1a")
	s.expect("Stopped")
	s.types("fg\n")
	for second := false; !second; { // another thread may take it, later than this one reads
		s.types("count\n")
		s.until("how often it was interrupted", func() bool {
			second = s.found("count 2\r\n")
			return second || s.found("count 1\r\n")
		})
		if time.Since(s.r.started) > s.r.deadline {
			s.t.Fatalf("it is not interrupted a second time\n%s", s.all())
		}
	}
	s.types("done\n")
	s.expect("done 2\r\n")
	s.expect("$ ")
}

// early types Ctrl-C while a program is being started.
func (s *shell) early(chance *rand.Rand) {
	s.t.Helper()
	shell := executable(s.r.cmd.Process.Pid)
	s.types(s.program + " tick\n")
	// Until it is another program, what the shell started has the shell's handlers.
	for deadline := time.Now().Add(s.r.deadline); executable(s.foreground()) == shell; {
		if time.Now().After(deadline) {
			s.t.Fatalf("the shell starts nothing\n%s", s.all())
		}
		runtime.Gosched()
	}
	time.Sleep(time.Duration(chance.Int64N(int64(60 * time.Millisecond)))) // some moment of the start
	s.types("\x03")
	s.types("echo code=$?\n")
	s.expect("code=130\r\n")
}

// executable is what a process runs, empty once it has ended.
func executable(pid int) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return path
}

// foreground is the terminal's foreground process group.
func (s *shell) foreground() int {
	s.t.Helper()
	group, err := unix.IoctlGetInt(int(s.tty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		s.t.Fatal(err)
	}
	return group
}

// background has a program go on in the background, and ends it by Ctrl-C.
func (s *shell) background() {
	s.t.Helper()
	s.types(s.program + " tick\n")
	s.expect("tock\r\n")
	s.types("\x1a")
	s.expect("Stopped")
	s.types("bg\n")
	s.expect("&\r\n")
	s.expect("tock\r\n")
	s.types("jobs\n")
	s.expect("Running")
	s.types("fg\n")
	shell := s.r.cmd.Process.Pid
	s.until("tock in the foreground", func() bool { return s.foreground() != shell && s.found("tock\r\n") })
	s.types("\x03")
	s.expect("$ ")
	s.types("echo code=$?\n")
	s.expect("code=130\r\n")
}

// quit stops a program that would read the terminal in the background, and ends it
// by Ctrl-\.
func (s *shell) quit() {
	s.t.Helper()
	s.types("ulimit -c 0\n" + s.program + " &\n")
	s.expect("]")
	s.types("wait; jobs\n")
	s.expect("Stopped")
	s.types("fg\n")
	s.types("there\n")
	s.expect("line there\r\n")
	s.types("\x1c")
	s.expect("$ ")
	s.types("echo code=$?\n")
	s.expect("code=131\r\n")
}

// shell is bash on a terminal of its own, of which the test is the other side.
type shell struct {
	t       *testing.T
	r       *running
	tty     *os.File
	program string
	seen    int // what expect has been through
	mu      sync.Mutex
	out     []byte
	more    chan struct{} // something was added to out, or it has ended
}

func openShell(t *testing.T, v variant) *shell {
	t.Helper()
	s := &shell{t: t, more: make(chan struct{}, 1), program: guest(t, "tty")}
	env := []string{"PS1=$ ", "TERM=dumb"}
	if v.nodes > 0 {
		s.program = strings.Join(slices.Concat([]string{popcornBin, "run"}, v.flags, []string{"--", s.program}), " ")
		env = append(env, fmt.Sprintf("POPCORN_TEST_NODES=%d", v.nodes))
	}
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	defer slave.Close()
	s.tty = master
	c := command{path: "bash", args: []string{"--norc", "--noprofile", "--noediting", "-i"}, deadline: full(time.Minute, 5*time.Minute)}
	s.r = launch(t, c, native, func(r *running) {
		r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = slave, slave, slave
		r.cmd.Env = append(r.cmd.Env, env...)
		r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	go s.read()
	s.expect("$ ")
	return s
}

// read collects what appears on the terminal until nobody has it open any more.
func (s *shell) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buf)
		s.mu.Lock()
		s.out = append(s.out, buf[:n]...)
		s.mu.Unlock()
		if err != nil {
			close(s.more)
			return
		}
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

func (s *shell) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.out)
}

// found moves on behind text, when it has appeared since the last time.
func (s *shell) found(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := bytes.Index(s.out[s.seen:], []byte(text))
	if at >= 0 {
		s.seen += at + len(text)
	}
	return at >= 0
}

// expect waits for text behind what was expected before.
func (s *shell) expect(text string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%q", text), func() bool { return s.found(text) })
}

// until waits for what appears on the terminal.
func (s *shell) until(what string, appeared func() bool) {
	s.t.Helper()
	late := time.After(s.r.deadline - time.Since(s.r.started))
	for !appeared() {
		select {
		case _, open := <-s.more:
			if !open && !appeared() {
				s.t.Fatalf("the terminal was closed before %s:\n%s", what, s.all())
			}
		case <-late:
			s.r.kill()
			<-s.r.done
			s.t.Fatalf("no %s on the terminal:\n%s", what, s.all())
		}
	}
}

func (s *shell) types(keys string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) resize(rows, cols uint16) {
	s.t.Helper()
	if err := pty.Setsize(s.tty, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		s.t.Fatal(err)
	}
}

// end leaves the shell; nothing may be left.
func (s *shell) end() {
	s.t.Helper()
	s.types("exit 0\n")
	if o := s.r.wait(); o.code != 0 {
		s.t.Errorf("exit code %d\n%s", o.code, s.all())
	}
}
