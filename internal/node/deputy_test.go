package node

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"popcorn/internal/sys"
)

// stage is a folder a deputy of user uid plays in.
type stage struct {
	t   *testing.T
	dir string
}

func newStage(t *testing.T, uid int) stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "pa")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, exec.Command("mkfifo", "-m", "666", filepath.Join(dir, "end")).Run())
	check(t, os.Chown(dir, uid, uid))
	return stage{t, dir}
}

// argv is this test as a deputy: in a place all users reach.
func (s stage) argv() []string { return []string{"/proc/self/exe", "deputy", s.dir} }

// found waits until the deputy has told what it found: it opens the fifo after
// that, which this end waits for.
func (s stage) found() (found, *os.File) {
	s.t.Helper()
	end, err := os.OpenFile(filepath.Join(s.dir, "end"), os.O_WRONLY, 0)
	check(s.t, err)
	text, err := os.ReadFile(filepath.Join(s.dir, "found"))
	check(s.t, err)
	var f found
	check(s.t, json.Unmarshal(text, &f))
	return f, end
}

// gone waits for the end of a process.
func gone(t *testing.T, pidfd int) {
	t.Helper()
	if !sys.AwaitPidfd(pidfd, 20*time.Second) {
		t.Error("the deputy lives on")
	}
	sys.Close(pidfd)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: starts processes of other users")
	}
}

const nobody = 65534

// A deputy runs at another node as the user who called here, with what it is
// to do, and lives on when the daemon that started it ends.
func TestDeputyAtAnotherNode(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	a.until("a=alive b=alive")
	s := newStage(t, os.Geteuid())
	b.daemon.deputies.argv = s.argv()
	check(t, a.client.StartDeputy(t.Context(), "b", "j1", []byte("what to do")))
	f, end := s.found()
	want := found{PID: f.PID, UID: os.Geteuid(), GID: os.Getegid(), Groups: f.Groups, Leader: true, Dir: "/", Config: "what to do",
		Env: deputyEnv, FDs: []string{os.DevNull, os.DevNull, os.DevNull}}
	if wantText, got := mustJSON(t, want), mustJSON(t, f); got != wantText {
		t.Errorf("deputy found %s, want %s", got, wantText)
	}
	a.wantAudit("StartDeputy", "uid", "node b", "ok", "")
	b.wantAudit("StartUserDeputy", "node a", "uid", "ok", "")

	pidfd, err := sys.PidfdOpen(f.PID, 0)
	check(t, err)
	b.stop()
	if sys.AwaitPidfd(pidfd, 0) {
		t.Error("the deputy ended with its daemon")
	}
	check(t, end.Close())
	gone(t, pidfd)
	sys.Wait(f.PID, 0) // nobody else does: its daemon has ended, but our process has not
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	check(t, err)
	return string(text)
}

func TestDeputyOfAnotherUser(t *testing.T) {
	needRoot(t)
	a := newHost(t, "a")
	a.start()
	s := newStage(t, nobody)
	a.daemon.deputies.argv = s.argv()
	check(t, a.daemon.deputies.start(errand{nobody, nobody, "j1", make([]byte, 1<<20)}))
	f, end := s.found()
	if f.UID != nobody || f.GID != nobody || !slices.Equal(f.Groups, []int{nobody}) || len(f.Config) != 1<<20 {
		t.Errorf("deputy found uid %d gid %d groups %d and %d bytes", f.UID, f.GID, f.Groups, len(f.Config))
	}
	check(t, end.Close())
	a.untilNoDeputy()
}

// untilNoDeputy waits until the daemon has collected its deputies.
func (h *host) untilNoDeputy() {
	h.t.Helper()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		h.daemon.deputies.mu.Lock()
		left := len(h.daemon.deputies.runs)
		h.daemon.deputies.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("%d deputies not collected", left)
		}
	}
}

func TestDeputyThatCannotStart(t *testing.T) {
	hosts := cluster(t, 2)
	hosts[0].until("a=alive b=alive")
	hosts[1].daemon.deputies.argv = []string{"/nonexistent/popcorn", "deputy"}
	err := hosts[0].client.StartDeputy(t.Context(), "b", "", nil)
	if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v", err)
	}
	t.Log(err)
	hosts[1].wantAudit("StartUserDeputy", "node a", "uid", "failed", "no such file")
}

func TestPolicy(t *testing.T) {
	root := func(users ...string) policy { return policy{users: users} }
	for name, c := range map[string]struct {
		p    policy
		uid  uint32
		good bool
	}{
		"anybody":                  {root(), 1000, true},
		"root":                     {root(), 0, false},
		"root, allowed":            {policy{root: true}, 0, true},
		"root, allowed with users": {policy{users: []string{"7"}, root: true}, 0, true},
		"root, only listed":        {root("root", "0"), 0, false},
		"by number":                {root("1", "1000"), 1000, true},
		"by name":                  {root("nobody"), nobody, true},
		"not listed":               {root("nobody"), 1000, false},
		"own user":                 {policy{euid: 1000}, 1000, true},
		"not the own user":         {policy{euid: 1000}, 1001, false},
		"root at a user's":         {policy{euid: 1000, root: true}, 0, false},
		"own user, not listed":     {policy{euid: 1000, users: []string{"7"}}, 1000, false},
		"mapped":                   {policy{as: map[string]string{"1000": "nobody"}}, 1000, true},
		"mapped, not listed":       {policy{users: []string{"7"}, as: map[string]string{"1000": "nobody"}}, 1000, false},
		"root, mapped":             {policy{as: map[string]string{"root": "nobody"}}, 0, true},
		"mapped to root":           {policy{as: map[string]string{"1000": "root"}}, 1000, false},
		"mapped to root, allowed":  {policy{root: true, as: map[string]string{"1000": "root"}}, 1000, true},
	} {
		err := c.p.check(c.uid)
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGroupsAreThoseOfThisHost(t *testing.T) {
	if _, err := identity(nobody, 0); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody in root's group: %v", err)
	}
	if _, err := identity(4242, 0); !errors.Is(err, ErrRefused) {
		t.Errorf("a user unknown here in root's group: %v", err)
	}
	id, err := identity(4242, 4242)
	if err != nil || len(id.Groups) != 0 {
		t.Errorf("a user unknown here: %+v, %v", id, err)
	}
}

// The kernel, not the request, says who calls: other users may not rule.
func TestOnlyMastersRule(t *testing.T) {
	needRoot(t)
	a := newHost(t, "a")
	a.cfg.AllowUsers = []string{"daemon"}
	a.start()
	check(t, os.Chmod(filepath.Dir(filepath.Dir(a.cfg.Socket)), 0o711))
	for _, path := range []string{"Token", "Leave", "StartDeputy", "Drain"} {
		cmd := exec.Command("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "curl", "-sS", "-w", "%{http_code}",
			"--unix-socket", a.cfg.Socket, "-H", "Content-Type: application/json", "-d", `{"apiVersion":1,"node":"a","ttlSeconds":"60"}`,
			"http://local/popcorn.node.v1.LocalService/"+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Skipf("no setpriv or curl here: %v: %s", err, out)
		}
		if !slices.Equal(out[len(out)-3:], []byte("403")) {
			t.Errorf("%s by nobody: %s", path, out)
		}
		a.wantAudit(path, "uid 65534", "", "refused", "refused")
	}
}
