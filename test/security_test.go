package test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"popcorn/test/lab"
)

// hostState is what of a host a program could leave a mark on.
type hostState struct {
	files, mounts, processes, sockets []string
}

func observeHost(t *testing.T, h *lab.Host) (s hostState) {
	t.Helper()
	tree, err := h.FS()
	if err != nil {
		t.Fatal(err)
	}
	s.files = filesOf(t, tree)
	s.mounts = strings.Split(string(must(h.ReadFile("/proc/1/mountinfo"))), "\n")
	list, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.State != "Z" {
			s.processes = append(s.processes, fmt.Sprintf("%d %s", p.PID, p.Name))
		}
	}
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "packet", "netlink", "unix"} {
		text, err := h.ReadFile("/proc/1/net/" + kind)
		if err != nil {
			continue // the kernel has no such sockets
		}
		for line := range strings.Lines(string(text)) {
			if word := standing(kind, strings.Fields(line)); word != "" {
				s.sockets = append(s.sockets, word)
			}
		}
	}
	slices.Sort(s.sockets)
	return s
}

// standing is what of a socket stays as long as it is there; empty for one that
// comes and goes with the daemons' calls.
func standing(kind string, f []string) string {
	const listening = "0A"
	switch {
	case strings.HasPrefix(kind, "tcp") && (len(f) < 4 || f[3] != listening):
		return ""
	case strings.HasPrefix(kind, "tcp"):
		return kind + " " + f[1]
	case kind == "unix" && len(f) < 8, kind == "netlink":
		return ""
	case kind == "unix":
		return kind + " " + f[7]
	}
	return kind + " " + strings.Join(f[:min(len(f), 4)], " ")
}

// filesOf lists a host's own files with their modes, sizes and times. Those of the
// kernel come and go with processes; the daemon's log grows.
func filesOf(t *testing.T, tree fs.FS) (out []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == "proc" || path == "sys":
			return fs.SkipDir
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", path, fi.Mode())
		if fi.Mode().IsRegular() && filepath.Base(path) != "audit.log" {
			line += fmt.Sprintf(" %d %v", fi.Size(), fi.ModTime())
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatalf("list files: %v", err)
	}
	return out
}

// same tells what differs.
func (s hostState) same(t *testing.T, after hostState) {
	t.Helper()
	was, is := s.lists(), after.lists()
	for _, name := range slices.Sorted(maps.Keys(was)) {
		for _, x := range was[name] {
			if !slices.Contains(is[name], x) {
				t.Errorf("%s: gone: %s", name, x)
			}
		}
		for _, x := range is[name] {
			if !slices.Contains(was[name], x) {
				t.Errorf("%s: new: %s", name, x)
			}
		}
	}
}

func (s hostState) lists() map[string][]string {
	return map[string][]string{"files": s.files, "mounts": s.mounts, "processes": s.processes, "sockets": s.sockets}
}

// TestHostIsTheSame: a program that makes every system call there is, of every
// table, changes nothing on the host that lends it a processor, as root.
func TestHostIsTheSame(t *testing.T) {
	c := newCluster(t, 2)
	b, program := c.lab.Host("b"), c.put(guest(t, "hostile"))
	c.end(c.run([]string{"-H", "b", "--on", "1"}, "/bin/true"), time.Minute) // whatever the first program makes is made
	c.onlyDaemons(b)
	before := observeHost(t, b)
	if len(before.files) < 5 || len(before.mounts) < 3 || len(before.processes) < 2 || len(before.sockets) < 2 {
		t.Fatalf("seen too little: %+v", before)
	}
	code, out, errs := c.end(c.run([]string{"-H", "b", "--on", "1"}, program, "all", full("3", "30")), full(2*time.Minute, 10*time.Minute))
	if code != 0 || out != "EXIT-SUCCESS\n" {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	c.onlyDaemons(b)
	before.same(t, observeHost(t, b))
	const creat, fork, mount, getpid = 8, 2, 21, 20 // asm/unistd_32.h
	want, says := 125, "node 1"
	if exitsNatively(guest(t, "hostile"), "old-anywhere", strconv.Itoa(getpid)) == 139 { // as under some hypervisors
		t.Log("this machine has no int 0x80: it faults natively, too")
		want, says = 139, ""
	}
	for _, nr := range []int{creat, fork, mount, getpid, 500} {
		code, out, errs := c.end(c.run([]string{"-H", "b", "--on", "1"}, program, "old", strconv.Itoa(nr)), time.Minute)
		if code != want || !strings.Contains(errs, says) || out != "" {
			t.Errorf("call %d of the 32-bit table: exit code %d\n%s\n%s", nr, code, out, errs)
		}
		c.onlyDaemons(b)
		before.same(t, observeHost(t, b))
	}
}

// exitsNatively is the exit code of a command without us, 128+N for signal N.
func exitsNatively(argv ...string) int {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Run() // the code is what counts
	return exitCode(cmd.ProcessState)
}

// TestObserverSees: what it is that TestHostIsTheSame would see.
func TestObserverSees(t *testing.T) {
	l := lab.New(t, 1)
	h := l.Host("a")
	before := observeHost(t, h)
	h.WriteFile("/mark", nil, 0o600)
	ln, err := h.Listen("tcp", ":4242")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	after := observeHost(t, h)
	if slices.Equal(before.files, after.files) || slices.Equal(before.sockets, after.sockets) {
		t.Errorf("it sees neither a file nor a socket: %+v", after)
	}
}

// TestJobOfAnother: another user can do nothing with a program of root's, by any
// verb, and is told that he is refused.
func TestJobOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: calls as another user")
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("no setpriv here")
	}
	job := start(t, command{path: guest(t, "omp_sum"), args: []string{"400000000000"}}, allAway)
	job.partsWhen(func(p parts) bool { return at(p.Stubs, 1) != 0 })
	ids, err := filepath.Glob(filepath.Join(job.runtimeDir, "popcorn", "*.sock"))
	if err != nil || len(ids) != 1 {
		t.Fatalf("control sockets %v, %v", ids, err)
	}
	id := strings.TrimSuffix(filepath.Base(ids[0]), ".sock")
	for _, open := range []os.FileMode{0o700, 0o711, 0o755} { // root's own may be passed, but not listed
		for _, dir := range []string{scratch, job.base, job.runtimeDir, filepath.Join(job.runtimeDir, "popcorn")} {
			mode := open
			if dir == scratch || dir == job.base {
				mode = 0o711
			}
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
		}
		for _, verb := range [][]string{{"inspect"}, {"migrate", "", "home"}, {"kill"}, {"kill", "-s", "INT"}, {"pause"}, {"resume"}, {"wait"}, {"where"}} {
			argv := slices.Concat([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups", popcornBin}, verb)
			if i := slices.Index(argv, ""); i >= 0 {
				argv[i] = id
			} else {
				argv = append(argv, id)
			}
			cmd := exec.Command("setpriv", argv...)
			cmd.Env = []string{"XDG_RUNTIME_DIR=" + job.runtimeDir, "PATH=/usr/bin:/bin"}
			out, _ := cmd.CombinedOutput()
			if code := exitCode(cmd.ProcessState); code != 5 || !bytes.Contains(out, []byte("refused")) {
				t.Errorf("%v in a folder of mode %o: exit code %d: %s", verb, open, code, out)
			}
		}
	}
	select {
	case <-job.done:
		t.Errorf("the program has ended\n%s", job.printed())
	default:
	}
	if out, err := job.popcorn(10*time.Second, "kill", "-s", "KILL", job.id); err != nil { // its owner may
		t.Errorf("kill: %v\n%s", err, out)
	}
	if o := job.wait(); o.code != 128+9 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}
