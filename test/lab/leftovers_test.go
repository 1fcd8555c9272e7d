package lab

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// machineState is what a lab may not change outside.
type machineState struct {
	mounts, links, children string
	files                   string
}

func observe(t *testing.T) machineState {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	s := machineState{mounts: string(mounts)}
	for _, l := range links {
		s.links += fmt.Sprintln(l.Name, l.Flags)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		list, _ := os.ReadFile(task) // a thread may have ended
		s.children += string(list)
	}
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil { // not that of the folder itself
			s.files += fmt.Sprintln(to)
		}
	}
	return s
}

func TestNothingIsLeft(t *testing.T) {
	before := observe(t)
	t.Run("lab", func(t *testing.T) {
		l := withProbe(t, 2, Origin())
		a, b := l.Host("a"), l.Host("b")
		start(t, a, "spawn", "2")
		start(t, b, "wait")
		l.Cut(a, b)
		reboot(t, b)
		start(t, b, "wait")
		if err := a.Freeze(); err != nil {
			t.Fatal(err)
		}
		if now := observe(t); now.mounts != before.mounts || now.links != before.links {
			t.Errorf("seen from the machine while the lab is there:\n%+v\nbefore:\n%+v", now, before)
		}
	})
	if after := observe(t); after != before {
		t.Errorf("left:\n%+v\nbefore:\n%+v", after, before)
	}
}

// endEnv makes TestEndsBadly, in another process, end in a bad way.
const endEnv = "POPCORN_LAB_TEST_END"

// TestEndsBadly is the process that TestNothingIsLeftOfBadEnds watches.
func TestEndsBadly(t *testing.T) {
	end := os.Getenv(endEnv)
	if end == "" {
		t.Skip("only as a child of TestNothingIsLeftOfBadEnds")
	}
	l := withProbe(t, 2, Origin())
	for _, h := range l.Hosts() {
		start(t, h, "spawn", "2")
		start(t, h, "spawn", "2", "orphans")
		if err := h.Freeze(); err != nil {
			t.Fatal(err)
		}
		list, err := h.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			if !strings.Contains("ZX", p.State) { // process 1, which is not frozen, may just be burying it
				fmt.Println(p.outer)
			}
		}
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	switch end {
	case "fails":
		t.Fatal("fails")
	case "panics":
		panic("panics")
	case "panics elsewhere":
		done := make(chan bool)
		go func() { defer close(done); panic("panics elsewhere") }()
		<-done
	case "exits":
		os.Exit(1)
	}
	select {}
}

func TestNothingIsLeftOfBadEnds(t *testing.T) {
	needNamespaces(t)
	for _, end := range []string{"fails", "panics", "panics elsewhere", "exits", "killed"} {
		t.Run(end, func(t *testing.T) {
			before := observe(t)
			cmd := exec.CommandContext(within(t), os.Args[0], "-test.run=^TestEndsBadly$")
			cmd.Env = append(os.Environ(), endEnv+"="+end, probeEnv+"="+probe)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			gone := watchAll(t, bufio.NewScanner(out))
			if end == "killed" {
				cmd.Process.Kill()
			} else {
				in.Write([]byte{0})
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it ended well")
			}
			for _, g := range gone {
				g()
			}
			if after := observe(t); after != before {
				t.Errorf("left:\n%+v\nbefore:\n%+v", after, before)
			}
		})
	}
}

// watchAll watches the processes listed by TestEndsBadly.
func watchAll(t *testing.T, lines *bufio.Scanner) (gone []func()) {
	t.Helper()
	for lines.Scan() && lines.Text() != "ready" {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("it says %q", lines.Text())
		}
		gone = append(gone, watchOuter(t, pid))
	}
	if len(gone) < 12 {
		t.Fatalf("only %d processes in the labs", len(gone))
	}
	return gone
}

// Many commands, files and connections at once, on hosts whose processors are
// busy, and with hosts going on and off beside them.
func TestUnderLoad(t *testing.T) {
	l := withProbe(t, 4)
	a, b, c, d := l.Host("a"), l.Host("b"), l.Host("c"), l.Host("d")
	start(t, c, "spin")
	start(t, c, "spin")
	_, at := start(t, a, "listen", "tcp", "a:0")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			word := strconv.Itoa(i)
			out, err := b.Command(within(t), "probe", "dial", "tcp", at, word).Output()
			if strings.TrimSpace(string(out)) != word {
				t.Errorf("dial %d: %q, %v", i, out, err)
			}
		})
		all.Go(func() {
			if err := b.writeFile("/tmp/"+strconv.Itoa(i), []byte("x"), 0o600); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			cmd := b.Command(within(t), "probe", "wait")
			p, err := b.Start(cmd)
			if err != nil {
				t.Error(err)
				return
			}
			if err := b.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			if p.Wait(); cmd.ProcessState.ExitCode() != 137 {
				t.Errorf("killed process %d: %v", p.PID, cmd.ProcessState)
			}
		})
	}
	all.Go(func() {
		for range 3 {
			if err := d.PowerOff(); err != nil {
				t.Error(err)
			}
			if err := d.PowerOn(); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
}
