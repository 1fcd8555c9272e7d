package node

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popcorn/internal/cgroup"
	"popcorn/internal/sys"
)

// ownGroup is a group of this test's in the hierarchy of version 2: its folder,
// and its name there.
func ownGroup(t *testing.T) (dir, name string) {
	t.Helper()
	needRoot(t)
	f, err := os.Open("/proc/self/mountinfo")
	check(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); strings.Contains(s.Text(), " - cgroup2 ") {
			if dir, err = os.MkdirTemp(fields[4], "popcorn-test-"); err != nil {
				t.Skipf("this process may make no group: %v", err)
			}
			t.Cleanup(func() { os.Remove(dir) })
			return dir, "/" + filepath.Base(dir)
		}
	}
	t.Skip("no cgroup v2 hierarchy here")
	return "", ""
}

// groupOf is the group a process is in.
func groupOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(procFile(pid, "cgroup"))
	check(t, err)
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// untilAudited waits for a line of the audit log.
func (h *host) untilAudited(what, reason string) event {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(beat) { // nothing tells of it but the log
		for _, e := range h.audited(what) {
			if strings.Contains(e.Reason, reason) {
				return e
			}
		}
		if time.Now().After(end) {
			h.t.Fatalf("no %q with %q in the audit log: %+v", what, reason, h.audited(what))
		}
	}
}

// A deputy is in a group of its own, which goes when it has ended, also when the
// daemon was another by then.
func TestGroupOfADeputy(t *testing.T) {
	dir, name := ownGroup(t)
	check(t, os.Mkdir(filepath.Join(dir, "popcorn"), 0o755)) // as an earlier life has left it: used without limits too
	a := newHost(t, "a")
	a.cfg.Cgroup = name
	a.start()
	s := newStage(t, os.Geteuid())
	a.daemon.deputies.argv = s.argv()
	check(t, a.client.StartDeputy(t.Context(), "a", "j1", nil))
	f, end := s.found()
	defer end.Close()
	key := fmt.Sprintf("%d-j1", os.Geteuid())
	if got, want := groupOf(t, f.PID), name+"/popcorn/"+key; got != want {
		t.Errorf("deputy is in %s, want %s", got, want)
	}
	err := a.client.StartDeputy(t.Context(), "a", "j1", nil)
	wantErr(t, err, ErrRefused)
	a.wantAudit("deputy started", "uid", fmt.Sprintf("pid %d as uid", f.PID), "ok", "")
	a.stop()
	if _, err := os.Stat(filepath.Join(dir, "popcorn", key)); err != nil {
		t.Errorf("group of a deputy that lives: %v", err)
	}

	a.start()
	wantErr(t, a.client.StartDeputy(t.Context(), "a", "j1", nil), ErrRefused)
	check(t, end.Close())
	sys.Wait(f.PID, 0) // nobody else does: its daemon has ended, but our process has not
	a.untilAudited("deputy ended", "an earlier life of the daemon had started it")
	a.stop()
	if _, err := os.Stat(filepath.Join(dir, "popcorn")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("group that nothing is in: %v", err)
	}
}

// A daemon that cannot limit programs as it was told does not start; where it
// can, one that takes too much memory is ended, with the reason.
func TestMemoryOfADeputy(t *testing.T) {
	_, name := ownGroup(t)
	a := newHost(t, "a")
	a.cfg.Cgroup, a.cfg.DeputyMemory, a.cfg.PIDs = name, 64<<20, 200
	d, err := Start(a.cfg)
	if errors.Is(err, cgroup.ErrUnavailable) {
		t.Logf("not limited here: %v", err)
		if _, err := os.Stat(a.cfg.Socket); err == nil {
			t.Error("it listens all the same")
		}
		return
	}
	check(t, err)
	check(t, d.Close())
	a.start()
	s := newStage(t, os.Geteuid())
	check(t, os.WriteFile(filepath.Join(s.dir, "eats"), nil, 0o644))
	a.daemon.deputies.argv = s.argv()
	check(t, a.client.StartDeputy(t.Context(), "a", "j1", nil))
	_, end := s.found()
	defer end.Close()
	const why = "out of memory: the kernel killed the program's part there; each program may use 64MiB there"
	a.untilAudited("deputy ended", why)
	if got, err := a.client.DeputyEnd(t.Context(), "a", "j1"); err != nil || got != why {
		t.Errorf("cause %q, %v", got, err)
	}
	if m := a.daemon.Self(); m.Each.Memory != 64<<20 || m.Limits.PIDs != 200 {
		t.Errorf("it tells limits %v and %v", m.Limits, m.Each)
	}
}

func TestLimitsThatCannotBe(t *testing.T) {
	for says, change := range map[string]func(*Config){
		"memory 1B":       func(c *Config) { c.Memory = 1 },
		"cpus -1":         func(c *Config) { c.DeputyCPUs = -1 },
		"pids 1":          func(c *Config) { c.PIDs = 1 },
		"no-such-account": func(c *Config) { c.MapUsers = map[string]string{"ann": "no-such-account"} },
	} {
		a := newHost(t, "a")
		change(&a.cfg)
		_, err := Start(a.cfg)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// Members hear what a node limits programs to.
func TestLimitsAreTold(t *testing.T) {
	m := Member{Limits: cgroup.Limits{CPUs: 2.5, Memory: 4 << 30, PIDs: 7}, Each: cgroup.Limits{Memory: 1 << 30}}
	if got := fromMember(m.toWire()); got.Limits != m.Limits || got.Each != m.Each {
		t.Errorf("%v and %v, want %v and %v", got.Limits, got.Each, m.Limits, m.Each)
	}
	if text := mustJSON(t, m); !strings.Contains(text, `"limits":{"cpus":2.5,"memory":4294967296,"pids":7},"each":{"memory":1073741824}`) {
		t.Error(text)
	}
	if text := mustJSON(t, Member{}); strings.Contains(text, "limits") {
		t.Errorf("limits without any: %s", text)
	}
	if other := (Member{Each: m.Each}); sameButFree(m, other) || sameButFree(other, Member{}) {
		t.Error("others do not remember that limits have changed")
	}
	m.Address, m.Limits.CPUs = "10.0.0.1:1", math.NaN()
	_, err := announced(m.toWire(), "b")
	wantErr(t, err, ErrMalformed)
}

// What a daemon was told of limits, others hear from others.
func TestLimitsAreHeardOf(t *testing.T) {
	hosts := cluster(t, 3)
	a, b, c := hosts[0], hosts[1], hosts[2]
	b.until("a=alive b=alive c=alive")
	each := cgroup.Limits{Memory: 1 << 30}
	own := c.daemon.members
	own.speaker.mu.Lock()
	own.self.Each = each
	own.speaker.mu.Unlock()
	own.tell()
	for _, h := range []*host{a, b} {
		h.untilMember("c", func(m Member) bool { return m.Each == each && !m.Limits.Any() })
	}
}

// A user runs as the account it is mapped to, with that account's groups.
func TestMappedUser(t *testing.T) {
	needRoot(t)
	a := newHost(t, "a")
	a.cfg.AllowRoot, a.cfg.MapUsers = false, map[string]string{"root": "nobody"}
	a.start()
	s := newStage(t, nobody)
	a.daemon.deputies.argv = s.argv()
	check(t, a.client.StartDeputy(t.Context(), "a", "j1", nil))
	f, end := s.found()
	if f.UID != nobody || f.GID != nobody || len(f.Groups) != 1 || f.Groups[0] != nobody {
		t.Errorf("deputy found uid %d, gid %d, groups %d", f.UID, f.GID, f.Groups)
	}
	check(t, end.Close())
	a.untilNoDeputy()
	a.wantAudit("deputy started", "uid 0", "as uid 65534", "ok", "")
	a.wantAudit("deputy ended", "uid 0", "as uid 65534", "ok", "")
}

// Whom users are mapped to can change while the daemon runs; a mapping that cannot
// be changes nothing. What is checked of the node is checked as that account.
func TestMappingIsReloaded(t *testing.T) {
	needRoot(t)
	a := newHost(t, "a")
	a.cfg.Check = []string{"/bin/sh", "-c", `printf '{"version":1,"probes":[{"name":"user %s","ok":true}]}' $(id -u)`}
	a.start()
	next := a.cfg
	next.AllowRoot, next.MapUsers = false, map[string]string{"root": "nobody"}
	check(t, a.daemon.apply(next))
	bad := next
	bad.AllowUsers, bad.MapUsers = []string{"4711"}, map[string]string{"root": "no-such-account"}
	wantErr(t, a.daemon.apply(bad), ErrMalformed)
	s := newStage(t, nobody)
	a.daemon.deputies.argv = s.argv()
	check(t, a.client.StartDeputy(t.Context(), "a", "j1", nil))
	f, end := s.found()
	if f.UID != nobody {
		t.Errorf("deputy found uid %d", f.UID)
	}
	check(t, end.Close())
	a.untilNoDeputy()
	found, err := a.client.Check(t.Context(), "a")
	check(t, err)
	found.finding(t, fmt.Sprintf("user %d", nobody))
}

// What kills a deputy is known to its user, and to nobody else.
func TestCauseOfAnEnd(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	s := newStage(t, os.Geteuid())
	a.daemon.deputies.argv = s.argv()
	check(t, a.client.StartDeputy(t.Context(), "a", "j1", nil))
	f, end := s.found()
	defer end.Close()
	if got, err := a.client.DeputyEnd(t.Context(), "a", "j1"); err != nil || got != "" {
		t.Errorf("of one that lives: %q, %v", got, err)
	}
	fd, err := sys.PidfdOpen(f.PID, 0)
	check(t, err)
	check(t, sys.PidfdSendSignal(fd, sys.SIGKILL))
	gone(t, fd)
	if got, err := a.client.DeputyEnd(t.Context(), "a", "j1"); err != nil || !strings.Contains(got, "killed by signal 9") {
		t.Errorf("cause %q, %v", got, err)
	}
	if got, err := a.daemon.deputies.cause(4242, "j1"); err != nil || got != "" {
		t.Errorf("told to another user: %q, %v", got, err)
	}
	_, err = a.client.DeputyEnd(t.Context(), "a", "../x")
	wantErr(t, err, ErrMalformed)
	a.wantAudit("deputy ended", "uid", "", "failed", "signal 9")
}
