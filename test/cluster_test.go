package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// cluster is hosts of a lab with a daemon each. The first is an ordinary machine;
// the others have nothing but popcorn.
type cluster struct {
	t        *testing.T
	lab      *lab.Lab
	patience time.Duration           // what a command of ours may take
	daemons  map[string]*lab.Program // the last one, by host
	binary   string                  // that the next one is started from
}

// within is c for a subtest, which fails alone.
func (c *cluster) within(t *testing.T) *cluster {
	other := *c
	other.t = t
	return &other
}

// folders numbers those that programs run in.
var folders atomic.Int32

// clusterPatience bounds what a cluster does between programs.
const clusterPatience = 30 * time.Second

// newCluster forms a cluster as a person would: serve, token, join.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	return formCluster(t, n, clusterPatience)
}

func formCluster(t *testing.T, n int, patience time.Duration, options ...lab.Option) *cluster {
	t.Helper()
	options = append(options, lab.Origin(), lab.File("/usr/bin/popcorn", popcornBin))
	c := &cluster{t: t, lab: lab.New(t, n, options...), patience: patience, binary: "/usr/bin/popcorn",
		daemons: map[string]*lab.Program{}}
	for _, h := range c.lab.Hosts() {
		h.WriteFile("/etc/popcorn/node.toml", []byte("allow_root = true\n"), 0o644)
	}
	first := c.lab.Hosts()[0]
	c.serve(first, "node", "serve", "--advertise", first.Addr.String())
	for _, h := range c.lab.Hosts()[1:] {
		token := strings.TrimSpace(c.must(first, "node", "token"))
		c.serve(h, "node", "join", first.Addr.String(), "--token", token, "--serve", "--advertise", h.Addr.String())
	}
	return c
}

// serve starts a daemon and waits until it answers.
func (c *cluster) serve(h *lab.Host, args ...string) {
	c.t.Helper()
	log := filepath.Join(c.t.TempDir(), "daemon-"+h.Name)
	out, err := os.Create(log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	cmd := h.Command(c.t.Context(), append([]string{c.binary}, args...)...)
	cmd.Stderr = out
	if c.daemons[h.Name], err = h.Start(cmd); err != nil {
		c.t.Fatalf("start daemon on %s: %v", h.Name, err)
	}
	for end := time.Now().Add(c.patience); ; time.Sleep(20 * time.Millisecond) { // nothing signals its readiness
		if c.serving(h) {
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log)
			c.t.Fatalf("daemon on %s does not answer\n%s", h.Name, tail(text))
		}
	}
}

// serving tells whether a daemon answers there.
func (c *cluster) serving(h *lab.Host) bool {
	_, err := c.popcorn(h, "node", "ls", "-q")
	return err == nil
}

// popcorn runs a command of ours on a host and returns what it printed.
func (c *cluster) popcorn(h *lab.Host, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.patience)
	defer cancel()
	var errs bytes.Buffer
	cmd := h.Command(ctx, append([]string{"/usr/bin/popcorn"}, args...)...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("popcorn %v on %s: %w: %s", args, h.Name, err, errs.Bytes())
	}
	return string(out), err
}

func (c *cluster) must(h *lab.Host, args ...string) string {
	c.t.Helper()
	out, err := c.popcorn(h, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// put copies a file of this machine, with its mode, to the first host and tells
// where it is there.
func (c *cluster) put(path string) string {
	c.t.Helper()
	return c.putOn(c.lab.Hosts()[0], path)
}

func (c *cluster) putOn(h *lab.Host, path string) string {
	c.t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		c.t.Fatal(err)
	}
	name := "/tmp/" + filepath.Base(path)
	h.WriteFile(name, must(os.ReadFile(path)), fi.Mode().Perm())
	return name
}

// away is a program of the first host that runs on several.
type away struct {
	*lab.Program
	host      *lab.Host
	out, errs *os.File
	dir       string // where it runs, on its host
}

// run starts program under popcorn run with flags on the first host.
func (c *cluster) run(flags []string, program ...string) *away {
	c.t.Helper()
	return c.runOn(c.lab.Hosts()[0], nil, flags, program...)
}

// runOn is run on a host and with more environment.
func (c *cluster) runOn(h *lab.Host, env, flags []string, program ...string) *away {
	c.t.Helper()
	there := fmt.Sprintf("/tmp/run%d", folders.Add(1))
	argv := []string{"/bin/sh", "-c", `mkdir "$0" && cd "$0" && exec "$@"`, there, "/usr/bin/popcorn", "run", "--stats", "/tmp/stats"}
	env = append(slices.Clone(env), fmt.Sprintf("POPCORN_TEST_NODES=%d", 1+strings.Count(flags[1], ",")+1))
	if v := os.Getenv("POPCORN_VERIFY"); v != "" {
		env = append(env, "POPCORN_VERIFY="+v)
	}
	a := c.start(h, env, slices.Concat(argv, flags, []string{"--"}, program)...)
	a.dir = there
	return a
}

// start runs a command on a host as it is.
func (c *cluster) start(h *lab.Host, env []string, argv ...string) *away {
	c.t.Helper()
	dir := c.t.TempDir()
	out, err1 := os.Create(filepath.Join(dir, "stdout"))
	errs, err2 := os.Create(filepath.Join(dir, "stderr"))
	if err1 != nil || err2 != nil {
		c.t.Fatal(err1, err2)
	}
	c.t.Cleanup(func() { out.Close(); errs.Close() })
	cmd := h.Command(c.t.Context(), argv...)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = append(cmd.Env, env...)
	p, err := h.Start(cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	return &away{Program: p, host: h, out: out, errs: errs}
}

// end waits for the program's end, at most d, and returns its exit code and output.
func (c *cluster) end(a *away, d time.Duration) (code int, stdout, stderr string) {
	c.t.Helper()
	seen := make(chan string, 1)
	stop := time.AfterFunc(d, func() {
		seen <- c.look()
		a.host.Kill(a.PID, syscall.SIGABRT) // popcorn run then tells where it waits, and ends
		time.AfterFunc(5*time.Second, func() { a.Cmd.Process.Kill() })
	})
	a.Wait() // the code is what counts
	if !stop.Stop() {
		text, _ := os.ReadFile(a.errs.Name())
		c.t.Fatalf("%v: still running after %v\n%s\n%s", a.Cmd.Args, d, tail(text), <-seen)
	}
	out, _ := os.ReadFile(a.out.Name())
	errs, _ := os.ReadFile(a.errs.Name())
	return a.Cmd.ProcessState.ExitCode(), string(out), string(errs)
}

// look tells what the jobs of the first host say of themselves.
func (c *cluster) look() string {
	h := c.lab.Hosts()[0]
	ids, err := c.popcorn(h, "ps", "-q")
	report := fmt.Sprintf("ps: %v\n", err)
	for _, id := range strings.Fields(ids) {
		out, err := c.popcorn(h, "inspect", id)
		report += fmt.Sprintf("inspect %s: %v\n%s\n", id, err, out)
	}
	return report
}

// onlyDaemons waits until a host has nothing of a job left.
func (c *cluster) onlyDaemons(h *lab.Host) {
	c.t.Helper()
	for end := time.Now().Add(c.patience); ; time.Sleep(20 * time.Millisecond) { // nothing signals the end of a stranger
		list, err := h.Processes()
		var rest []string
		for _, p := range list {
			if p.PID != 1 && p.State != "Z" {
				rest = append(rest, fmt.Sprintf("%d %s", p.PID, p.Name))
			}
		}
		if err == nil && len(rest) <= 1 {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("left on %s: %v, %v", h.Name, rest, err)
		}
	}
}

// TestClusterRunsPrograms: programs of one host run with their threads on others
// that share nothing with it, and give what they give natively.
func TestClusterRunsPrograms(t *testing.T) {
	c := newCluster(t, 3)
	if got := c.must(c.lab.Hosts()[0], "node", "ls", "-q"); got != "a\nb\nc\n" {
		t.Fatalf("members: %q", got)
	}
	input := writeFile(t, "mixed", mixedData(full(2<<20, 64<<20)))
	guests := []string{"thr_sync", "file_rw", "proc_fork", "sig_handler", "time_clock", "omp_dynamic"}
	programs := [][]string{
		{"/usr/bin/xz", "-T4", "-1", "--block-size=256KiB", "-c", input},
		{"/usr/bin/python3", filepath.Join(repo, "test/scripts/hashqueue.py"), full("10", "500"), "50000"},
		{"/bin/bash", "-c", "seq 100 | sort -rn | head -3; (exit 4)"},
	}
	for _, name := range guests {
		programs = append(programs, []string{guest(t, name)})
	}
	for _, argv := range programs {
		t.Run(filepath.Base(argv[0]), func(t *testing.T) {
			there := slices.Clone(argv)
			for i, arg := range there {
				if strings.HasPrefix(arg, os.TempDir()+"/") {
					there[i] = c.put(arg)
				}
			}
			natively := exec.Command(argv[0], argv[1:]...)
			natively.Dir = t.TempDir()
			want, err := natively.Output()
			code := 0
			if exit, ok := err.(*exec.ExitError); ok {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			for _, flags := range [][]string{{"-H", "b,c", "--spread"}, {"-H", "b", "--on", "1"}} {
				got, out, errs := c.end(c.run(flags, there...), 2*time.Minute)
				if got != code || out != string(want) {
					t.Errorf("%v: exit code %d (natively %d), %d bytes (natively %d)\n%s", flags, got, code, len(out), len(want), tail([]byte(errs)))
				}
			}
		})
	}
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}

// TestClusterTellsWhoWorked: the statistics name hosts, and each has worked.
func TestClusterTellsWhoWorked(t *testing.T) {
	c := newCluster(t, 3)
	if code, _, errs := c.end(c.run([]string{"-H", "b,c", "--spread"}, c.put(guest(t, "omp_sum")), "40000000"), time.Minute); code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	text, err := c.lab.Hosts()[0].ReadFile("/tmp/stats")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Nodes []struct {
			Name       string  `json:"name"`
			CPUSeconds float64 `json:"cpu_seconds"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, n := range doc.Nodes {
		names += n.Name
		if n.CPUSeconds <= 0 {
			t.Errorf("node %s did nothing", n.Name)
		}
	}
	if names != "abc" {
		t.Errorf("nodes %q", names)
	}
}

// TestClusterRefuses: what cannot be is told at once, with the exit code for it.
func TestClusterRefuses(t *testing.T) {
	c := newCluster(t, 2)
	for host, want := range map[string]string{
		"d":        "d is no node of this cluster",
		"b,a/b":    "is no name of a host",
		"@/no/way": "no such file",
	} {
		code, _, errs := c.end(c.run([]string{"-H", host}, "/bin/true"), clusterPatience)
		if code != 125 || !strings.Contains(errs, want) {
			t.Errorf("-H %s: exit code %d: %s", host, code, errs)
		}
	}
	b := c.lab.Host("b")
	b.WriteFile("/etc/popcorn/node.toml", []byte("allow_root = false\n"), 0o644)
	list, err := b.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Name == "popcorn" {
			b.Kill(p.PID, syscall.SIGTERM)
		}
	}
	for len(list) > 1 {
		if list, err = b.Processes(); err != nil {
			t.Fatal(err)
		}
	}
	code, _, errs := c.end(c.run([]string{"-H", "b"}, "/bin/true"), clusterPatience)
	if code != 125 || !strings.Contains(errs, fmt.Sprintf("node b (%v:7946) is unreachable", b.Addr)) {
		t.Errorf("a host without a daemon: exit code %d: %s", code, errs)
	}
	c.serve(b, "node", "serve")
	code, _, errs = c.end(c.run([]string{"-H", "b"}, "/bin/true"), clusterPatience)
	if code != 125 || !strings.Contains(errs, "allow_root") {
		t.Errorf("a user who is not let in: exit code %d: %s", code, errs)
	}
}

// ways to lose a host.
var losses = map[string]func(*lab.Host) error{
	"off":    (*lab.Host).PowerOff,
	"cut":    func(h *lab.Host) error { h.Unplug(); return nil },
	"frozen": (*lab.Host).Freeze,
}

// lossTimeout is what the jobs of these tests are told. They must have ended some
// seconds later: processes are given time to end by themselves before they are killed.
const (
	lossTimeout = 5 * time.Second
	lossOver    = lossTimeout + 15*time.Second
)

// TestClusterLosesAHost: one that is switched off, cut off or frozen ends the job
// that has threads there, with a reason and in time; no wrong byte reaches its file,
// and nothing of it is left anywhere. One that was cut off has ended its part by
// itself.
func TestClusterLosesAHost(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3)
			a, b := c.lab.Host("a"), c.lab.Host("b")
			job := c.run([]string{"-H", "b,c", "--spread", "--loss-timeout", lossTimeout.String()}, c.put(guest(t, "records")), "100000000")
			c.until(a, "1 away")
			if err := lose(b); err != nil {
				t.Fatal(err)
			}
			code, _, errs := c.end(job, lossOver)
			if code != 125 || !strings.Contains(errs, "node 1 (b) is lost") {
				t.Errorf("exit code %d: %s", code, errs)
			}
			data, err := a.ReadFile(job.dir + "/records")
			if err != nil {
				t.Fatal(err)
			}
			if at := firstDifference(expectedRecords(len(data)/64 + 1)[:len(data)], data); at >= 0 {
				t.Errorf("wrong byte %d of %d in the file: %s", at, len(data), around(data, at))
			}
			c.onlyDaemons(a)
			c.onlyDaemons(c.lab.Host("c"))
			switch name {
			case "off":
				return
			case "frozen":
				if err := b.Thaw(); err != nil {
					t.Fatal(err)
				}
			}
			c.onlyDaemons(b)
		})
	}
}

// TestClusterGoesOn: a job that has nothing on the host that is lost goes on.
func TestClusterGoesOn(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3)
			a := c.lab.Host("a")
			argv := []string{c.put(guest(t, "moves_compute")), full("12", "30")}
			job := c.run([]string{"-H", "b,c", "--on", "2", "--loss-timeout", lossTimeout.String()}, argv...)
			c.until(a, "2 away")
			if err := lose(c.lab.Host("b")); err != nil {
				t.Fatal(err)
			}
			code, out, errs := c.end(job, time.Minute)
			if code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
				t.Errorf("exit code %d\n%s\n%s", code, out, errs)
			}
			c.onlyDaemons(a)
		})
	}
}

// TestClusterDrains: a host is emptied without stopping what runs there, which ends
// right; meanwhile, and until that is undone, it takes nothing.
func TestClusterDrains(t *testing.T) {
	c := newCluster(t, 3)
	a := c.lab.Host("a")
	argv := []string{c.put(guest(t, "moves_threads")), full("6", "30")}
	job := c.run([]string{"-H", "b,c", "--spread"}, argv...)
	c.until(a, "1 away")
	c.must(a, "node", "drain", "b", "--timeout", "25s")
	c.onlyDaemons(c.lab.Host("b"))
	if c.must(a, "ps", "-q") == "" {
		t.Error("the program ended before its host was empty")
	}
	if code, _, errs := c.end(c.run([]string{"-H", "b"}, "/bin/true"), clusterPatience); code != 125 || !strings.Contains(errs, "being emptied") {
		t.Errorf("a program for a host that is drained: exit code %d: %s", code, errs)
	}
	code, out, errs := c.end(job, time.Minute)
	if code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	c.must(a, "node", "drain", "b", "--undo")
	if code, _, errs := c.end(c.run([]string{"-H", "b", "--on", "1"}, "/bin/true"), clusterPatience); code != 0 {
		t.Errorf("after the drain was undone: exit code %d: %s", code, errs)
	}
}

// untilListed waits until node ls on h has a row with these words.
func (c *cluster) untilListed(h *lab.Host, words ...string) {
	c.t.Helper()
	for end := time.Now().Add(clusterPatience); ; time.Sleep(20 * time.Millisecond) { // nothing signals an opinion
		out, err := c.popcorn(h, "node", "ls")
		for _, line := range strings.Split(out, "\n") {
			if containsAll(strings.Fields(line), words) {
				return
			}
		}
		if time.Now().After(end) {
			c.t.Fatalf("on %s no row with %v: %v\n%s", h.Name, words, err, out)
		}
	}
}

// TestClusterKnowsWhoLives: a host that is cut off is unreachable to both sides, and
// alive again to both when it is not; changes reach members while the first node is
// down, and the first node when it is back.
func TestClusterKnowsWhoLives(t *testing.T) {
	c := newCluster(t, 3)
	a, b, d := c.lab.Host("a"), c.lab.Host("b"), c.lab.Host("c")
	for _, h := range c.lab.Hosts() {
		c.untilListed(a, h.Name, "alive")
	}
	if out := c.must(a, "check", "b", "c"); strings.Count(out, " ok ") != 2 {
		t.Errorf("check of two nodes that are well:\n%s", out)
	}
	b.Unplug()
	c.untilListed(a, "b", "unreachable")
	c.untilListed(d, "b", "unreachable")
	c.untilListed(b, "a", "unreachable")
	var exit *exec.ExitError
	if out, err := c.popcorn(a, "check", "b"); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("check of a node that is cut off: %v\n%s", err, out)
	}
	b.Plug()
	c.untilListed(a, "b", "alive")
	c.untilListed(b, "a", "alive")
	if err := a.PowerOff(); err != nil {
		t.Fatal(err)
	}
	c.must(b, "node", "drain", "b")
	c.untilListed(d, "b", "draining")
	c.must(d, "node", "label", "b", "rack=7")
	c.untilListed(d, "b", "rack=7")
	c.untilListed(d, "a", "unreachable")
	if err := a.PowerOn(); err != nil {
		t.Fatal(err)
	}
	c.serve(a, "node", "serve")
	c.untilListed(a, "b", "draining", "rack=7")
	c.must(a, "node", "drain", "b", "--undo")
	if code, _, errs := c.end(c.run([]string{"-H", "b,c", "--on", "c"}, "/bin/true"), clusterPatience); code != 0 {
		t.Errorf("run --on a host by name: exit code %d: %s", code, errs)
	}
}

// TestClusterRunKilled: the end of popcorn run is that of the job, on all hosts.
func TestClusterRunKilled(t *testing.T) {
	c := newCluster(t, 3)
	a := c.lab.Host("a")
	job := c.run([]string{"-H", "b,c", "--spread"}, c.put(guest(t, "omp_sum")), "400000000000")
	c.until(a, "1 away")
	if err := a.Kill(job.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := c.end(job, clusterPatience); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}

// until waits until a thread of the only job on h is where the table of threads says.
func (c *cluster) until(h *lab.Host, where string) {
	c.t.Helper()
	fields := strings.Fields(where)
	for end := time.Now().Add(c.patience); ; {
		out, err := c.popcorn(h, "ps", "--threads")
		for _, line := range strings.Split(out, "\n") {
			if f := strings.Fields(line); containsAll(f, fields) {
				return
			}
		}
		if time.Now().After(end) {
			c.t.Fatalf("no thread is at %q: %v\n%s", where, err, out)
		}
	}
}

func containsAll(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}
