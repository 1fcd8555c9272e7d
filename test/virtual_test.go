package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// virtualPatience bounds what a host does between programs that is a virtual
// machine without KVM, perhaps on a busy machine.
const virtualPatience = 2 * time.Minute

// programPatience bounds a program, which takes seconds on a quiet machine and has
// taken minutes on a busy one.
const programPatience = 10 * time.Minute

// kernels of virtual machines, by host. Host a is this machine with its own.
var kernels = map[string]string{"b": "6.1", "c": "6.12"}

// newMixedCluster is a cluster of this machine's kernel (a), an old (b) and a newer
// one (c). All have the files of the programs; nobody needs them but the origin.
func newMixedCluster(t *testing.T) *cluster {
	t.Helper()
	files := programFiles(t)
	var options []lab.Option
	for host, series := range kernels {
		options = append(options, lab.VM(host, lab.Virtual{Kernel: lab.NeedKernel(t, series), Files: files}))
	}
	return formCluster(t, 1+len(kernels), virtualPatience, options...)
}

// programFiles is what the programs of these tests need of a machine, by path.
func programFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	add := func(path string) {
		if strings.HasPrefix(path, "/bin/") { // a link to there
			path = "/usr" + path
		}
		files[path] = path
	}
	// What python has loaded for the script.
	list := `import hashlib, queue, random, sys, threading, encodings.utf_8
for m in list(sys.modules.values()):
    for f in (getattr(m, "__file__", None), getattr(m, "__cached__", None)):
        if f: print(f)`
	modules := strings.Fields(string(must(exec.Command("/usr/bin/python3", "-c", list).Output())))
	programs := []string{"/bin/sh", "/usr/bin/mkdir", "/usr/bin/xz", "/usr/bin/python3"}
	for _, path := range slices.Concat(programs, modules) {
		if _, err := os.Stat(path); err != nil {
			continue // a compiled module that was never written
		}
		add(path)
		libraries, _ := exec.Command("ldd", path).Output() // what is no ELF file has none
		for _, lib := range regexp.MustCompile(`/\S+\.so\S*`).FindAllString(string(libraries), -1) {
			add(lib)
		}
	}
	return files
}

// TestVirtualByHand keeps a cluster of several kernels until it is interrupted, and
// tells how to use it.
func TestVirtualByHand(t *testing.T) {
	if os.Getenv("POPCORN_TEST_BY_HAND") == "" {
		t.Skip("for people: POPCORN_TEST_BY_HAND=1")
	}
	c := newMixedCluster(t)
	for _, h := range c.lab.Hosts() {
		fmt.Printf("on %s: %s PROGRAM...\n", h.Name, h.ByHand())
	}
	enough := make(chan os.Signal, 1)
	signal.Notify(enough, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(enough)
	<-enough
}

// origins is who starts programs in a mixed cluster, and where their threads go.
// Emulated processors have less than most: programs of this machine keep to it.
// The other way is refused where this machine's has more extended state.
var origins = []struct {
	name, host string
	flags, env []string
}{
	{"from here", "a", []string{"-H", "b,c", "--spread", "--cpu-baseline", "x86-64-v3"}, []string{"POPCORN_TEST_HOP=1"}},
	{"from the old kernel", "b", []string{"-H", "c", "--spread"}, []string{"POPCORN_TEST_HOP=1"}},
	{"from the newer kernel", "c", []string{"-H", "b", "--spread"}, nil},
}

// startedFrom tells which origins a program has every day; in a soak it has all.
func startedFrom(n int, argv []string) []int {
	switch {
	case soak() > 0:
		return []int{0, 1, 2}
	case filepath.Base(argv[0]) == "xz":
		return []int{0, 1}
	}
	return []int{n % len(origins)}
}

// mixedGuests have to do with what differs between kernels: clocks and the vDSO,
// signals, threads, registers.
func mixedGuests(t *testing.T) (list []guestSource) {
	t.Helper()
	daily := []string{"misc_vdso", "reg_vector", "thr_sync", "time_clock"}
	for _, g := range guests(t) {
		kind, _, _ := strings.Cut(g.name, "_")
		whole := g.tags["only"] == "" && slices.Contains([]string{"misc", "time", "sig", "thr", "reg", "fut"}, kind)
		if slices.Contains(daily, g.name) || soak() > 0 && whole {
			list = append(list, g)
		}
	}
	return list
}

// TestVirtual: programs run with threads at hosts of other kernels, here and
// there in the program, and give what they give natively on this machine.
func TestVirtual(t *testing.T) {
	c := newMixedCluster(t)
	input := writeFile(t, "mixed", mixedData(full(256<<10, 8<<20)))
	programs := [][]string{{"/usr/bin/xz", "-T4", "-1", "--block-size=64KiB", "-c", input}}
	if soak() > 0 { // threads that share a lock pay most for a slow network: minutes
		programs = append(programs, []string{"/usr/bin/python3", filepath.Join(repo, "test/scripts/hashqueue.py"), "200", "5000"})
	}
	for _, g := range mixedGuests(t) {
		programs = append(programs, append([]string{g.build(t)}, g.args()...))
	}
	for n, argv := range programs {
		t.Run(strings.TrimPrefix(filepath.Base(argv[0]), "guest-"), func(t *testing.T) {
			want := natively(t, argv...)
			for _, i := range startedFrom(n, argv) {
				o := origins[i]
				t.Run(o.name, func(t *testing.T) { c.within(t).sameFrom(o.host, o.env, o.flags, want, argv) })
			}
		})
	}
	t.Run("moves", func(t *testing.T) { c.within(t).movesBetweenKernels() })
	t.Run("to here", func(t *testing.T) { c.within(t).backHere(input) })
	t.Run("memory", func(t *testing.T) { c.within(t).usesUpMemory() })
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}

// usesUpMemory: a program that takes more memory than a host gives each ends, and is
// told so. Machines whose control groups are of version 1 cannot limit it; this one can.
func (c *cluster) usesUpMemory() {
	t := c.t
	h := c.lab.Host("c")
	h.WriteFile("/etc/popcorn/node.toml", []byte("allow_root = true\ncgroup = \"/guests\"\ndeputy_memory = \"120M\"\n"), 0o644)
	if err := h.Kill(c.daemons["c"].PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.daemons["c"].Wait() // its error is the signal, if any
	c.serve(h, "node", "serve")
	flags := []string{"-H", "c", "--on", "1", "--cpu-baseline", "x86-64-v3"}
	code, _, errs := c.end(c.run(flags, c.put(guest(t, "mem_big")), "300"), programPatience)
	if code != 125 || !strings.Contains(errs, "out of memory") || !strings.Contains(errs, "120MiB") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, out, errs := c.end(c.run(flags, c.put(guest(t, "mem_big")), "20"), programPatience); code != 0 {
		t.Errorf("with less: exit code %d: %s%s", code, out, errs)
	}
}

// backHere: this machine takes threads of the emulated one that keep to a level both
// have; those that do not it takes too, or says why not, and the program is right all
// the same.
func (c *cluster) backHere(input string) {
	t := c.t
	h := c.lab.Host("c")
	argv := []string{"/usr/bin/xz", "-T2", "-1", "--block-size=64KiB", "-c"}
	want := natively(t, append(argv, input)...)
	argv = append(argv, c.putOn(h, input))
	for _, level := range [][]string{nil, {"--cpu-baseline", "x86-64-v2"}} {
		code, out, errs := c.end(c.runOn(h, nil, append([]string{"-H", "a", "--spread"}, level...), argv...), programPatience)
		if got := (result{code, out}); got != want {
			t.Errorf("exit code %d, %d bytes (natively %d)\n%s", code, len(out), len(want.stdout), tail([]byte(errs)))
		}
		stats, err := h.ReadFile("/tmp/stats")
		if err != nil {
			t.Fatal(err)
		}
		said := level == nil && strings.Contains(string(stats), "could not leave: ")
		if moves := migrations(t, stats); moves == 0 && !said {
			t.Errorf("%v: nothing was moved, for no reason\n%s", level, tail(stats))
		}
	}
}

// result is what a program gave.
type result struct {
	code   int
	stdout string
}

func natively(t *testing.T, argv ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), string(out)}
}

// sameFrom runs a program from a host and compares.
func (c *cluster) sameFrom(host string, env, flags []string, want result, argv []string) {
	t := c.t
	t.Helper()
	h := c.lab.Host(host)
	there := slices.Clone(argv)
	for i, arg := range there {
		if strings.HasPrefix(arg, os.TempDir()+"/") || strings.HasPrefix(arg, repo) {
			there[i] = c.putOn(h, arg)
		}
	}
	code, out, errs := c.end(c.runOn(h, env, flags, there...), programPatience)
	if got := (result{code, out}); got != want {
		t.Errorf("exit code %d (natively %d), %d bytes (natively %d)\n%s\n%s", code, want.code, len(out), len(want.stdout), tail([]byte(out)), tail([]byte(errs)))
		return
	}
	if stats, err := h.ReadFile("/tmp/stats"); err != nil {
		t.Error(err)
	} else if moves := migrations(t, stats); moves == 0 && threaded(argv[0]) {
		t.Errorf("nothing was moved\n%s", tail(stats))
	}
}

// threaded tells whether a program has threads, or moves itself.
func threaded(path string) bool {
	kind, _, _ := strings.Cut(filepath.Base(path), "_")
	return kind != "guest-sig" && kind != "guest-misc"
}

// migrations is how often threads moved.
func migrations(t *testing.T, stats []byte) int {
	t.Helper()
	var s struct {
		Migrations struct{ Count int } `json:"migrations"`
	}
	if err := json.Unmarshal(stats, &s); err != nil {
		t.Fatalf("read statistics: %v\n%s", err, tail(stats))
	}
	return s.Migrations.Count
}

// clockSteps is by how many seconds somebody sets a host's clock, there and back: by no
// more than the certificates of hosts put up with.
var clockSteps = []string{"1800", "-3500", "1700"}

// stepClock sets the clock of a host that is a virtual machine.
func (c *cluster) stepClock(h *lab.Host, by string) {
	c.t.Helper()
	if code, _, errs := c.end(c.start(h, nil, c.putOn(h, guest(c.t, "clock_step")), by), c.patience); code != 0 {
		c.t.Fatalf("step the clock of %s: exit code %d\n%s", h.Name, code, errs)
	}
}

// movesBetweenKernels moves a program by popcorn migrate while it reads clocks: they
// never go back, and it is never in the middle of reading one at another kernel. The
// other host's clock is stepped meanwhile: the program has its own host's.
func (c *cluster) movesBetweenKernels() {
	t := c.t
	h := c.lab.Host("b")
	job := c.runOn(h, nil, []string{"-H", "c"}, c.putOn(h, guest(t, "moves_clock")), full("5", "120"))
	id := c.started(h, job)
	moves, steps, refused := 0, 0, error(nil)
	for node := 1; c.running(h); node = 1 - node {
		if _, err := c.popcorn(h, "migrate", id, fmt.Sprint(node)); err == nil {
			moves++
		} else {
			refused = err // the program may have ended
		}
		if moves > 0 && moves%2 == 0 && steps < len(clockSteps) {
			c.stepClock(c.lab.Host("c"), clockSteps[steps])
			steps++
		}
	}
	for ; steps < len(clockSteps); steps++ {
		c.stepClock(c.lab.Host("c"), clockSteps[steps])
	}
	code, out, errs := c.end(job, virtualPatience)
	if code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	t.Logf("%d moves; the last refusal: %v", moves, refused)
	if moves == 0 {
		t.Errorf("nothing was moved: %v", refused)
	}
	stats, err := h.ReadFile("/tmp/stats")
	if err != nil {
		t.Fatal(err)
	}
	if n := wentHome(t, stats, "touched memory that stays at home"); n > 0 {
		t.Errorf("%d times a thread was in the middle of reading a clock at another kernel", n)
	}
}

// started waits until the program that was started on a host is a job there.
func (c *cluster) started(h *lab.Host, a *away) string {
	c.t.Helper()
	for end := time.Now().Add(virtualPatience); time.Now().Before(end); {
		if id := strings.TrimSpace(c.must(h, "ps", "-q")); id != "" {
			return id
		}
		if text, _ := os.ReadFile(a.errs.Name()); len(text) > 0 {
			c.t.Fatalf("it did not start: %s", text)
		}
	}
	c.t.Fatal("it did not start in time")
	return ""
}

// running tells whether any job is on a host.
func (c *cluster) running(h *lab.Host) bool {
	c.t.Helper()
	return strings.TrimSpace(c.must(h, "ps", "-q")) != ""
}
