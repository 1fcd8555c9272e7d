package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// step is what a person types, what is then somewhere on the screen, and what then has
// the terminal, empty for anything: bash itself loses a Ctrl-C that comes while it starts
// a program, one time in thirty in its first milliseconds.
type step struct{ types, shows, runs string }

// TestInteractive uses programs as a person at a terminal does, and compares each screen
// with the one natively.
func TestInteractive(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux here")
	}
	var lines bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&lines, "line %d of many\n", i+1)
	}
	for _, c := range []struct {
		name  string
		argv  []string
		steps []step
	}{
		{"bash", []string{"bash", "--norc", "-i"}, []step{
			{"", "bash-", ""},
			{"PS1='> '\n", "> ", ""},
			{"echo one two | tr a-z A-Z\n", "ONE TWO\n>", ""},
			{"for i in 1 2 3; do echo $((i * 7)); done; false || echo $?\n", "21\n1\n>", ""},
			{"cat\n", "cat", ""},
			{"spoken twice\n", "spoken twice\nspoken twice", ""},
			{"\x1a", "cat\n>", ""},
			{"jobs; fg\n", "\ncat\n", ""},
			{"and again\n", "and again\nand again", ""},
			{"\x04", "> ", ""},
			{"(exit 3); echo code=$?; sleep 100\n", "code=3", "sleep"},
			{"\x03", "^C", ""},
			{"echo code=$?\n", "code=130\n>", ""},
			{"ech\tx y \x01\x05\x1b[D\x7fz\n", "x", ""},
			{"stty size\n", "24 80\n>", ""},
		}},
		{"python3", []string{"/usr/bin/python3", "-q"}, []step{
			{"", ">>>", ""},
			{"6 * 7\n", "42\n>>>", ""},
			{"def f(n):\n    return n and f(n - 1) + [n]\n\n", ">>>", ""},
			{"import threading, queue; q = queue.Queue()\n", ">>>", ""},
			{"t = threading.Thread(target=lambda: q.put(sum(range(1000)))); t.start(); q.get()\n", "499500\n>>>", ""},
			{"input('name? ')\n", "name? ", ""},
			{"Kim\n", "'Kim'\n>>>", ""},
			{"1 / 0\n", "ZeroDivisionError: division by zero\n>>>", ""},
			{"while True: pass\n\n", "...", ""},
			{"\x03", "KeyboardInterrupt\n>>>", ""},
			{"\x1b[A\x1b[A\x1b[A\n", "ZeroDivisionError: division by zero\n>>>", ""}, // the history
		}},
		{"less", []string{"less", "lines"}, []step{
			{"", "line 1 of many", ""},
			{" ", "line 40 of many", ""},
			{"G", "line 300 of many", ""},
			{"?line 77\n", "line 77 of many", ""},
			{"g", "line 1 of many", ""},
			{"-N\n", "1 line 1 of many", ""},
			{"\x1b[B\x1b[B", "3 line 3 of many", ""},
		}},
		{"vi", []string{"vi", "-u", "NONE", "-i", "NONE", "-n", "-N", "lines"}, []step{
			{"", "line 1 of many", ""},
			{"Go", "line 300 of many", ""},
			{"the last\x1b", "the last", ""},
			{":%s/many/few/\n", "line 300 of few", ""},
			{"gg", "line 1 of few", ""},
			{"ddwcwNUMBER\x1b", "line NUMBER of few", ""},
			{"u:w\n", "written", ""},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.argv[0]); err != nil {
				t.Skipf("no %s here", c.argv[0])
			}
			var want []string
			var file []byte
			for _, v := range []variant{native, allAway, spread2} {
				s := openScreen(t, v, c.argv, map[string][]byte{"lines": lines.Bytes()})
				for i, step := range c.steps {
					s.types(step.types)
					if v.nodes == 0 {
						want = append(want, s.settles(step.shows))
					} else {
						s.comesTo(fmt.Sprintf("step %d, %q", i, step.types), want[i])
					}
					s.has(step.runs)
				}
				now := must(os.ReadFile(filepath.Join(s.dir, "lines")))
				if v.nodes > 0 && !bytes.Equal(now, file) {
					t.Errorf("%s: the file is not what it is natively: %d bytes, natively %d", v.name, len(now), len(file))
				}
				file = now
				s.close()
			}
		})
	}
}

// screen is a program in a terminal of 80 by 24, which tmux draws.
type screen struct {
	*running
	socket string
}

func openScreen(t *testing.T, v variant, argv []string, files map[string][]byte) *screen {
	t.Helper()
	s := &screen{running: &running{t: t, done: make(chan struct{}), deadline: full(time.Minute, 5*time.Minute)}}
	s.id = fmt.Sprintf("t%d-%d", os.Getpid(), runs.Add(1))
	s.base = filepath.Join(scratch, s.id)
	s.dir, s.runtimeDir, s.socket = filepath.Join(s.base, "cwd"), filepath.Join(s.base, "run"), filepath.Join(s.base, "tmux")
	for _, dir := range []string{s.dir, s.runtimeDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := s.assemble(command{path: argv[0], args: argv[1:]}, v)
	program.Env = append(program.Env, "HOME="+s.dir) // they write their history
	s.cmd, s.started = program, time.Now()
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-s", "screen"}
	if out, err := s.tmux(append(args, program.Args...)...); err != nil {
		t.Fatalf("start %v in tmux: %v: %s", argv, err, out)
	}
	server, err := s.tmux("display-message", "-p", "#{pid}")
	pid, err2 := strconv.Atoi(strings.TrimSpace(server))
	if err != nil || err2 != nil {
		t.Fatalf("ask tmux who it is: %v: %s", err, server)
	}
	program.Process, _ = os.FindProcess(pid) // no error on unix
	t.Cleanup(func() {
		s.close()
		os.RemoveAll(s.base)
	})
	return s
}

func (s *screen) tmux(args ...string) (string, error) {
	cmd := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...)
	cmd.Dir, cmd.Env = s.dir, append(s.cmd.Env, "TERM=xterm", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *screen) types(keys string) {
	s.t.Helper()
	if keys == "" {
		return
	}
	args := []string{"send-keys", "-t", "screen", "-H"}
	for _, k := range []byte(keys) {
		args = append(args, fmt.Sprintf("%x", k))
	}
	if out, err := s.tmux(args...); err != nil {
		s.t.Fatalf("type %q: %v: %s", keys, err, out)
	}
}

// now is what is on the screen, and where the cursor is.
func (s *screen) now() string {
	text, err1 := s.tmux("capture-pane", "-p", "-t", "screen")
	cursor, err2 := s.tmux("display-message", "-p", "-t", "screen", "#{cursor_x} #{cursor_y}")
	if err1 != nil || err2 != nil {
		return fmt.Sprintf("nothing: %s%s", text, cursor)
	}
	return text + cursor
}

// settles waits until text is on the screen and nothing changes any more.
func (s *screen) settles(text string) string {
	s.t.Helper()
	last, since := "", time.Now()
	for end := time.Now().Add(s.deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		now := s.now()
		if now != last {
			last, since = now, time.Now()
		}
		if strings.Contains(now, text) && time.Since(since) > 500*time.Millisecond {
			return now
		}
	}
	s.t.Fatalf("%q does not appear:\n%s", text, last)
	return ""
}

// comesTo waits until the screen is as it was natively.
func (s *screen) comesTo(what, want string) {
	s.t.Helper()
	now := ""
	for end := time.Now().Add(s.deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if now = s.now(); now == want {
			return
		}
	}
	s.t.Fatalf("%s, after %s: the screen is\n%s\nnatively\n%s", s.what, what, now, want)
}

// has waits until a program of that name has the terminal.
func (s *screen) has(name string) {
	s.t.Helper()
	now := ""
	for end := time.Now().Add(s.deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // nothing signals it
		out, err := s.tmux("display-message", "-p", "-t", "screen", "#{pane_current_command}")
		if now = strings.TrimSpace(out); err == nil && (name == "" || now == name) {
			return
		}
	}
	s.t.Fatalf("%s: %q has the terminal, not %s", s.what, now, name)
}

// close hangs up on the program, if that has not ended, and holds that nothing is left.
func (s *screen) close() {
	s.t.Helper()
	s.tmux("kill-server")                                                              // an error: it has ended
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // nothing signals the end of strangers
		procs, files := s.processes(), s.files()
		if len(procs) == 0 && len(files) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Errorf("%s\nleft: processes %v, files %v", s.what, procs, files)
			for _, p := range procs {
				syscall.Kill(p.pid, syscall.SIGKILL)
			}
			return
		}
	}
}
