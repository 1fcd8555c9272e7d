package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popcorn/internal/sys"
)

// actor is a deputy of a test.
type actor struct {
	stage
	pid, pidfd int
	end        *os.File
}

// play starts a deputy at h, asked for at from.
func play(from, h *host, prepare ...func(stage)) actor {
	h.t.Helper()
	s := newStage(h.t, os.Geteuid())
	for _, p := range prepare {
		p(s)
	}
	h.daemon.deputies.argv = s.argv()
	check(h.t, from.client.StartDeputy(h.t.Context(), h.cfg.Name, "", nil))
	f, end := s.found()
	fd, err := sys.PidfdOpen(f.PID, 0)
	check(h.t, err)
	h.t.Cleanup(func() { end.Close() })
	return actor{s, f.PID, fd, end}
}

// goes makes a deputy that ends when it is asked to.
func goes(s stage) { check(s.t, os.WriteFile(filepath.Join(s.dir, "goes"), nil, 0o644)) }

// leave ends a deputy that does not go by itself.
func (a actor) leave() {
	a.t.Helper()
	a.end.Close()
	gone(a.t, a.pidfd)
	sys.Wait(a.pid, sys.WNOHANG) // its daemon may have ended before
}

// told waits until a deputy has been asked to go: a signal that was sent may not
// have come when it ends.
func (a actor) told() {
	a.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // it is another process
		if text, err := os.ReadFile(filepath.Join(a.dir, "terms")); err == nil && len(text) > 0 {
			return
		}
		if time.Now().After(end) {
			a.t.Fatal("deputy was not asked to go")
		}
	}
}

// wantTold looks at how often a deputy that has ended was asked to go.
func (a actor) wantTold(times int) {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "terms"))
	check(a.t, err)
	if string(text) != strings.Repeat("T", times) {
		a.t.Errorf("deputy was asked to go %d times, want %d", len(text), times)
	}
}

func (h *host) wantDrained(name string, left int, draining bool) {
	h.t.Helper()
	got, err := h.client.Drained(h.t.Context(), name)
	check(h.t, err)
	if want := (Drained{left, draining}); got != want {
		h.t.Errorf("node %s: %+v, want %+v", name, got, want)
	}
}

func (h *host) drain(name string) {
	h.t.Helper()
	got, err := h.client.Drain(h.t.Context(), name)
	check(h.t, err)
	if !got.Draining {
		h.t.Errorf("node %s: %+v", name, got)
	}
}

func (h *host) undrain(name string) {
	h.t.Helper()
	_, err := h.client.Undrain(h.t.Context(), name)
	check(h.t, err)
}

func (h *host) wantNobodyLetIn(name string) {
	h.t.Helper()
	err := h.client.StartDeputy(h.t.Context(), name, "", nil)
	wantErr(h.t, err, ErrRefused)
	if want := "node " + name + " takes no more programs: it is being emptied (popcorn node drain --undo " + name + ")"; !strings.Contains(err.Error(), want) {
		h.t.Errorf("it does not say why: %v", err)
	}
}

// A node that is being emptied asks each deputy to go once in its life: again
// neither when it is drained again, nor by the daemon's next life, nor after undo.
func TestDrain(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	a.until("a=alive b=alive")
	old := play(a, b)
	b.cfg.Listen = b.daemon.Self().Address // so that a finds it at once
	b.stop()
	b.start()
	a.until("a=alive b=alive")
	fresh := play(b, b)
	other := play(b, a) // of the same user at this machine, but not there

	a.wantDrained("b", 2, false)
	a.drain("b")
	a.drain("b")
	a.wantDrained("b", 2, true)
	a.until("a=alive b=draining")
	b.until("a=alive b=draining")
	a.wantNobodyLetIn("b")
	b.wantNobodyLetIn("b")

	b.stop()
	b.start()
	a.wantNobodyLetIn("b")
	a.until("a=alive b=draining")
	b.until("a=alive b=draining")
	b.undrain("b")
	a.until("a=alive b=alive")
	late := play(a, b)
	b.drain("b")
	b.wantDrained("b", 3, true)
	for _, d := range []actor{old, fresh, late} {
		d.told()
	}
	all := []actor{old, fresh, late, other}
	for _, d := range all {
		check(t, d.end.Close()) // so that they end together
	}
	for _, d := range all {
		d.leave()
	}
	a.wantDrained("b", 0, true)
	for _, d := range []actor{old, fresh, late} {
		d.wantTold(1)
	}
	other.wantTold(0)
	b.wantAudit("DrainHere", "node a", "this node", "ok", "")
	a.wantAudit("Drain", "uid", "node b", "ok", "")
	b.wantAudit("Drain", "uid", "undo node b", "ok", "")
	if n := len(a.audited("Drain")); n != 2 {
		t.Errorf("%d lines in the audit log of 2 requests to drain: questions are there too", n)
	}
}

// A daemon that begins anew asks those that its earlier life did not get to; what
// was told in another boot was told to others.
func TestDrainGoesOn(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	d := play(a, a)
	a.stop()
	st, err := openState(a.cfg.State)
	check(t, err)
	start, err := startOfProcess(d.pid)
	check(t, err)
	check(t, st.dir.WriteJSON(drainFile, drainRecord{Draining: true, Boot: "another", Told: []process{{d.pid, start}}}))
	check(t, st.close())
	a.start()
	a.until("a=draining")
	d.told()
	d.leave()
	d.wantTold(1)
}

func TestDrainOfNodesThatAreNotThere(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	_, err := a.client.Drain(t.Context(), "nobody")
	wantErr(t, err, ErrNoSuchNode)
	b.stop()
	_, err = a.client.Drain(t.Context(), "b")
	wantErr(t, err, ErrUnreachable)
	a.drain("") // its own
	a.until("a=draining b=unreachable")
	a.undrain("a")
	a.undrain("a")
	a.until("a=alive b=unreachable")
}

// The founding node's draining is seen at the others; one that leaves is not
// drained in its next cluster.
func TestDrainingAndLeaving(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	a.drain("a")
	b.until("a=draining b=alive")
	b.drain("b")
	check(t, b.client.Leave(t.Context(), ""))
	check(t, b.daemon.Wait(t.Context()))
	b.stop()
	b.join(a)
	b.until("a=draining b=alive")
}

func (h *host) serve() (stop func()) {
	h.t.Helper()
	h.stop()
	ctx, cancel := context.WithCancel(h.t.Context())
	over := make(chan error, 1)
	go func() { over <- Serve(ctx, h.cfg) }()
	return func() {
		h.t.Helper()
		cancel()
		check(h.t, <-over)
	}
}

// A daemon that is to be drained when it stops waits for its deputies, within
// bounds, and does not remember that.
func TestDrainOnStop(t *testing.T) {
	a := newHost(t, "a")
	a.cfg.DrainOnStop = true
	a.start()
	well := play(a, a, goes)
	a.serve()()
	if !sys.AwaitPidfd(well.pidfd, 0) {
		t.Error("the daemon has not waited for its deputy")
	}
	well.leave()
	well.wantTold(1)

	a.start()
	a.wantDrained("a", 0, false)
	a.cfg.DrainTimeout = beat
	stays := play(a, a)
	a.serve()()
	a.start()
	a.wantDrained("a", 1, false)
	a.drain("a")
	stays.told()
	stays.leave()
	stays.wantTold(1)
}

func TestDrainSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.toml")
	check(t, os.WriteFile(path, []byte("drain_on_stop = true\ndrain_timeout = \"90s\"\n"), 0o600))
	c, err := LoadConfig(path)
	check(t, err)
	if !c.DrainOnStop || c.DrainTimeout != 90*time.Second {
		t.Errorf("settings %+v", c)
	}
	check(t, os.WriteFile(path, []byte("drain_timeout = \"-1s\"\n"), 0o600))
	if _, err := LoadConfig(path); err == nil {
		t.Error("a time before now")
	}
}
