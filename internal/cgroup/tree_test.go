package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"popcorn/internal/sys"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	all  = Limits{CPUs: 2.5, Memory: 4 << 30, PIDs: 1000}
	each = Limits{Memory: 1 << 30}
)

// delegated is the daemon's place under systemd with Delegate=yes.
func delegated(t *testing.T, own string) (place, *fake) {
	f := newFake(t, "/cg", "cpu io memory pids")
	check(t, f.mkdir("/cg/system.slice"))
	for _, c := range []string{"cpu", "memory", "pids"} {
		check(t, f.enable("/cg", c))
		check(t, f.enable("/cg/system.slice", c))
	}
	check(t, f.mkdir("/cg/system.slice/node.service"))
	p := place{mount: "/cg", root: "/", own: own}
	dir, err := p.dir(own)
	check(t, err)
	f.mkdir(dir)
	f.procs[dir] = 1
	return p, f
}

// The daemon's own group may hold it first; it goes aside, and what it starts has
// the limits, all together and each.
func TestLimitsAreSet(t *testing.T) {
	const unit = "/cg/system.slice/node.service"
	for _, own := range []string{"/system.slice/node.service", "/system.slice/node.service/daemon"} {
		p, f := delegated(t, own)
		tree, err := p.open(f, "", all, each)
		check(t, err)
		if f.procs[unit] != 0 || f.procs[unit+"/daemon"] != 1 {
			t.Errorf("daemon is at %v", f.procs)
		}
		f.want(unit+"/popcorn", "cpu.max", "250000 100000", "memory.max", "4294967296", "memory.swap.max", "0", "pids.max", "1000")
		check(t, tree.fill(tree.dir+"/x"))
		f.want(unit+"/popcorn/x", "memory.max", "1073741824", "memory.swap.max", "0", "memory.oom.group", "1")
	}
}

// Another life of the daemon finds what is there, with other limits or none.
func TestLimitsAreChanged(t *testing.T) {
	p, f := delegated(t, "/system.slice/node.service/daemon")
	first, err := p.open(f, "", all, each)
	check(t, err)
	check(t, first.fill(first.dir+"/x"))
	f.procs[first.dir+"/x"] = 3
	second, err := p.open(f, "", Limits{CPUs: 1}, Limits{})
	check(t, err)
	f.want(second.dir, "cpu.max", "100000 100000", "memory.max", "max", "memory.swap.max", "max", "pids.max", "max")
	third, err := p.open(f, "", Limits{}, Limits{})
	check(t, err)
	f.want(third.dir, "cpu.max", "max 100000")
	gone, err := third.Sweep()
	if err != nil || len(gone) != 0 {
		t.Errorf("removed %q, %v while something ran there", gone, err)
	}
	f.procs[first.dir+"/x"] = 0
	gone, err = third.Sweep()
	if err != nil || !slices.Equal(gone, []string{"x"}) {
		t.Errorf("removed %q, %v", gone, err)
	}
	check(t, third.Remove())
	if f.groups[third.dir] != nil {
		t.Error("the tree is there")
	}
	none, err := p.open(f, "", Limits{}, Limits{})
	if none != nil || err != nil {
		t.Errorf("without limits and leftovers: %v, %v", none, err)
	}
}

// A group that was made and not used yet is not taken for one that is over.
func TestSweepSparesWhatBegins(t *testing.T) {
	p, f := delegated(t, "/system.slice/node.service/daemon")
	tree, err := p.open(f, "", all, each)
	check(t, err)
	check(t, tree.fill(tree.dir+"/x"))
	tree.fresh["x"] = true
	if gone, err := tree.Sweep(); err != nil || len(gone) > 0 {
		t.Errorf("removed %q, %v", gone, err)
	}
}

func TestNamedParent(t *testing.T) {
	p, f := delegated(t, "/")
	tree, err := p.open(f, "machines/guests", all, each)
	check(t, err)
	if tree.dir != "/cg/machines/guests/popcorn" {
		t.Errorf("made %s", tree.dir)
	}
	f.want(tree.dir, "pids.max", "1000")
}

// What cannot be limited is refused with what to do about it.
func TestUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*place, *fake)
		says   string
	}{
		"version 1 has it": {func(p *place, f *fake) {
			p.old = []string{"cpu", "memory"}
			f.groups["/cg/system.slice/node.service"]["cgroup.controllers"] = "pids"
		}, "systemd.unified_cgroup_hierarchy=1"},
		"not delegated":    {func(p *place, f *fake) { f.groups["/cg/system.slice/node.service"]["cgroup.controllers"] = "memory" }, "Delegate=yes"},
		"others are in it": {func(p *place, f *fake) { f.procs["/cg/system.slice/node.service"]++ }, "other processes are in it"},
		"out of sight":     {func(p *place, f *fake) { p.root = "/elsewhere" }, "can be seen"},
	} {
		p, f := delegated(t, "/system.slice/node.service")
		c.change(&p, f)
		_, err := p.open(f, "", all, each)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if tree, err := p.open(f, "", Limits{}, Limits{}); tree != nil || err != nil {
			t.Errorf("%s, without limits: %v, %v", name, tree, err)
		}
	}
	if _, err := locate("1:memory:/\n0::/\n", "30 1 0:2 / / rw - ext4 /dev/a rw\n"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a hierarchy: %v", err)
	}
}

func TestLocate(t *testing.T) {
	p, err := locate("9:name=systemd:/\n4:cpu,cpuacct:/x\n0::/docker/a/b\n",
		"31 2 0:30 /docker/a /sys/fs/my\\040cg rw,relatime shared:9 - cgroup2 cgroup2 rw\n")
	check(t, err)
	if p.own != "/docker/a/b" || !slices.Contains(p.old, "cpuacct") {
		t.Errorf("%+v", p)
	}
	if dir, err := p.dir(p.own); err != nil || dir != "/sys/fs/my cg/b" {
		t.Errorf("%s, %v", dir, err)
	}
}

func TestStarved(t *testing.T) {
	p, f := delegated(t, "/system.slice/node.service")
	tree, err := p.open(f, "", all, each)
	check(t, err)
	x := tree.dir + "/x"
	check(t, tree.fill(x))
	for _, c := range []struct {
		dir, file, text string
		want            Scarcity
	}{
		{x, "memory.events", "low 0\noom 1\noom_kill 0\n", Enough},
		{x, "memory.events", "low 0\noom 1\noom_kill 3\n", Machine},
		{tree.dir, "memory.events.local", "oom 1\noom_kill 0", CommonLimit},
		{x, "memory.events.local", "oom 2\noom_kill 3", OwnLimit},
	} {
		f.groups[c.dir][c.file] = c.text
		if got := tree.Starved("x"); got != c.want {
			t.Errorf("after %q in %s: %v, want %v", c.text, c.dir, got, c.want)
		}
	}
	if tree.Starved("y") != Enough {
		t.Error("a group that is not there was starved")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]string{"4G": "4GiB", "4GiB": "4GiB", "1.5g": "", "1.5G": "1.5GiB", "512M": "512MiB", "1000": "1000B",
		"2048K": "2MiB", "": "", "G": "", "-1": "", "1e30": "", "NaN": "", "1T": "1TiB"} {
		s, err := ParseSize(text)
		if (err != nil) != (want == "") || err == nil && s.String() != want {
			t.Errorf("%q is %v, %v; want %q", text, s, err, want)
		}
	}
	for _, bad := range []Limits{{CPUs: -1}, {CPUs: 0.001}, {Memory: 1}, {PIDs: 1}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	check(t, all.Check())
	if s := all.String(); s != "2.5 cpus, 4GiB memory, 1000 pids" {
		t.Error(s)
	}
}

// TestRealGroups: with the kernel of this machine, a process is in its group from
// the start, and the group goes after it. Limits are set where it has the
// controllers.
func TestRealGroups(t *testing.T) {
	p, err := find()
	if err != nil || os.Geteuid() != 0 {
		t.Skipf("needs root and a cgroup v2 hierarchy: %v", err)
	}
	base, err := os.MkdirTemp(p.mount, "popcorn-test-")
	if err != nil {
		t.Skipf("this process may make no group: %v", err)
	}
	defer os.Remove(base)
	tree := &Tree{fs: kernel{}, dir: base, fresh: map[string]bool{}}
	fd, started, err := tree.Make("x")
	check(t, err)
	in, out := must2(os.Pipe())
	defer out.Close()
	pid, err := sys.Spawn("/bin/cat", sys.SpawnAttr{Argv: []string{"cat"}, Files: []int{int(in.Fd()), 2, 2}, InCgroup: true, Cgroup: fd})
	in.Close()
	started()
	check(t, err)
	if list, err := os.ReadFile(filepath.Join(base, "x", "cgroup.procs")); err != nil || string(list) != strconv.Itoa(pid)+"\n" {
		t.Errorf("in the group: %q, %v; want %d", list, err, pid)
	}
	if gone, err := tree.Sweep(); err != nil || len(gone) > 0 {
		t.Errorf("removed %q, %v under a process", gone, err)
	}
	out.Close()
	if _, _, _, err := sys.Wait(pid, 0); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // the kernel has no word for when a group is free
		gone, err := tree.Sweep()
		if len(gone) == 1 {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("group is still there: %v", err)
		}
	}
}

func must2(r, w *os.File, err error) (*os.File, *os.File) {
	if err != nil {
		panic(err)
	}
	return r, w
}
