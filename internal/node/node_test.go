package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// TestMain also is the deputy that tests start, told apart by its argument. It
// leaves a file that says what it found, and then waits to be told to end. To another
// file it adds a T at each SIGTERM.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "deputy" {
		os.Exit(testDeputy(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "check" {
		json.NewEncoder(os.Stdout).Encode(Examine(sys.Probes()))
		os.Exit(0)
	}
	code := m.Run()
	if err := leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaked tells of goroutines that are left. Memberlist does not wait for its probes and
// connections, which end by their own limits of time: at most 10 s, its TCPTimeout.
func leaked() error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := goleak.Find()
		if err == nil || !strings.Contains(err.Error(), "hashicorp/memberlist.") || time.Now().After(deadline) {
			return err
		}
	}
}

// found is what the test's deputy tells of itself.
type found struct {
	PID, UID, GID int
	Groups        []int
	Leader        bool // of its session
	Dir, Config   string
	Env           []string
	FDs           []string
}

func testDeputy(args []string) int {
	if len(args) != 3 {
		return 4 // it has a name and a daemon
	}
	dir := args[0]
	asked, err := os.Create(filepath.Join(dir, "terms"))
	if err != nil {
		return 5
	}
	terms, first, noted := make(chan os.Signal, 16), make(chan struct{}), make(chan struct{})
	signal.Notify(terms, sys.SIGTERM)
	go func() {
		defer close(noted)
		for n := 0; ; n++ {
			if _, more := <-terms; !more {
				return
			}
			asked.WriteString("T")
			if n == 0 {
				close(first)
			}
		}
	}()
	config, err := io.ReadAll(os.NewFile(deputyFD, "config"))
	if err != nil {
		return 1
	}
	f := found{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Config: string(config), Env: os.Environ()}
	f.Leader = sys.Getpgrp() == f.PID
	f.Groups, _ = os.Getgroups()
	f.Dir, _ = os.Getwd()
	for fd := range 3 {
		name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		f.FDs = append(f.FDs, name)
	}
	text, _ := json.Marshal(f)
	if os.WriteFile(filepath.Join(dir, "tmp"), text, 0o644) != nil || os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "found")) != nil {
		return 2
	}
	end, err := os.OpenFile(filepath.Join(dir, "end"), os.O_RDONLY, 0) // a fifo: waits for the test
	if err != nil {
		return 3
	}
	if _, err := os.Stat(filepath.Join(dir, "eats")); err == nil {
		for eaten := [][]byte{}; len(eaten) < 256; { // MiB
			eaten = append(eaten, bytes.Repeat([]byte{1}, 1<<20))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "goes")); err == nil {
		<-first
	} else {
		io.ReadAll(end)
	}
	signal.Stop(terms)
	close(terms)
	<-noted
	return 0
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

const beat = 20 * time.Millisecond

// host is where a daemon of a test lives.
type host struct {
	t      *testing.T
	cfg    Config
	daemon *Daemon
	client *Client
}

// newHost is a host without a daemon yet. Its socket's name must be short.
func newHost(t *testing.T, name string) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "pn")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &host{t: t, cfg: Config{Name: name, State: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "run", socketName),
		Listen: "127.0.0.1:0", Beat: 5 * beat, Version: "test", AllowRoot: true}}
}

func (h *host) start() {
	h.t.Helper()
	var err error
	h.daemon, err = Start(h.cfg)
	check(h.t, err)
	h.t.Cleanup(h.stop)
	h.client, err = Dial(h.t.Context(), h.cfg.Socket)
	check(h.t, err)
}

func (h *host) stop() {
	if h.daemon != nil {
		if err := h.daemon.Close(); err != nil {
			h.t.Error(err)
		}
		h.daemon = nil
	}
}

func (h *host) token() string {
	h.t.Helper()
	tok, err := h.client.Token(h.t.Context(), time.Minute)
	check(h.t, err)
	return tok.Text
}

// join makes h a node of the cluster that founder founded, and starts it.
func (h *host) join(founder *host) {
	h.t.Helper()
	_, err := Join(h.t.Context(), h.cfg, founder.daemon.Self().Address, founder.token())
	check(h.t, err)
	h.start()
}

// until asks the members of h until they are as wanted.
func (h *host) until(want string) {
	h.t.Helper()
	h.untilMembers(func(members []Member) string {
		var got []string
		for _, m := range members {
			got = append(got, m.Name+"="+string(m.State))
		}
		if strings.Join(got, " ") == want {
			return ""
		}
		return fmt.Sprintf("members %q, want %q", got, want)
	})
}

// untilMembers asks the members of h until nothing is wrong with them.
func (h *host) untilMembers(wrong func([]Member) string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		members, err := h.client.Members(ctx)
		check(h.t, err)
		what := wrong(members)
		if what == "" {
			return
		}
		select {
		case <-ctx.Done():
			h.t.Fatal(what)
		case <-tick.C:
		}
	}
}

// audited returns the lines of the audit log of h about what.
func (h *host) audited(what string) []event {
	h.t.Helper()
	f, err := os.Open(filepath.Join(h.cfg.State, auditFile))
	check(h.t, err)
	defer f.Close()
	var out []event
	for s := bufio.NewScanner(f); s.Scan(); {
		var e event
		check(h.t, json.Unmarshal(s.Bytes(), &e))
		if e.What == what {
			out = append(out, e)
		}
	}
	return out
}

func (h *host) wantAudit(what, who, on, result, reason string) {
	h.t.Helper()
	events := h.audited(what)
	if !slices.ContainsFunc(events, func(e event) bool {
		return strings.HasPrefix(e.Who, who) && strings.Contains(e.On, on) && e.Result == result && strings.Contains(e.Reason, reason) && !e.Time.IsZero()
	}) {
		h.t.Errorf("no line %s by %s on %s: %s (%s) in %+v", what, who, on, result, reason, events)
	}
}

// cluster is that many nodes called a, b, c.
func cluster(t *testing.T, n int) []*host {
	t.Helper()
	var hosts []*host
	for i := range n {
		h := newHost(t, string(rune('a'+i)))
		if i == 0 {
			h.start()
		} else {
			h.join(hosts[0])
		}
		hosts = append(hosts, h)
	}
	return hosts
}

func TestThreeNodes(t *testing.T) {
	hosts := cluster(t, 3)
	for _, h := range hosts {
		h.until("a=alive b=alive c=alive")
	}
	members, err := hosts[2].client.Members(t.Context())
	check(t, err)
	for i, m := range members {
		if m.Address != hosts[i].daemon.Self().Address || m.Founder != (i == 0) || m.CPUs < 1 || m.Memory == 0 || m.Arch == "" || m.Kernel == "" {
			t.Errorf("member %+v", m)
		}
	}
	self, err := hosts[1].client.Self(t.Context())
	check(t, err)
	if self.Name != "b" || self.Cluster != hosts[0].daemon.id.Identity().Cluster {
		t.Errorf("b is %+v", self)
	}
	hosts[0].wantAudit("Token", "uid", "", "ok", "")
	hosts[0].wantAudit("Join", "a stranger", "node b", "ok", "")
	if n := len(hosts[0].audited("Announce")); n > 0 {
		t.Errorf("%d announcements in the audit log", n)
	}
}

func TestSilenceAndReturn(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	a.until("a=alive b=alive")
	b.stop()
	a.until("a=alive b=unreachable")
	b.start()
	a.until("a=alive b=alive")
	b.until("a=alive b=alive")
	addr := a.daemon.Self().Address
	a.stop()
	b.until("a=unreachable b=alive")
	a.cfg.Listen = addr
	a.start() // with flags it forgot long ago
	b.until("a=alive b=alive")
	a.until("a=alive b=alive")
}

// Members find each other while the founding node is down.
func TestFounderDown(t *testing.T) {
	hosts := cluster(t, 3)
	a, b, c := hosts[0], hosts[1], hosts[2]
	b.until("a=alive b=alive c=alive")
	a.stop()
	b.stop()
	b.start()
	b.until("a=unreachable b=alive c=alive")
	c.daemon.deputies.argv = []string{"/nonexistent"}
	if err := b.client.StartDeputy(t.Context(), "c", "", nil); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("b does not find c: %v", err)
	}
}

func TestLeave(t *testing.T) {
	hosts := cluster(t, 3)
	a, b, c := hosts[0], hosts[1], hosts[2]
	c.until("a=alive b=alive c=alive")
	check(t, b.client.Leave(t.Context(), ""))
	check(t, b.daemon.Wait(t.Context()))
	b.stop()
	_, err := trust.Load(trust.Dir(b.cfg.State))
	wantErr(t, err, trust.ErrNoIdentity)
	c.until("a=alive b=left c=alive")
	a.wantAudit("LeaveSelf", "node b", "", "ok", "")

	b.join(a) // again, with the name it left
	c.until("a=alive b=alive c=alive")

	wantErr(t, c.client.Leave(t.Context(), "b"), ErrRefused)
	wantErr(t, a.client.Leave(t.Context(), "a"), ErrRefused)
	wantErr(t, a.client.Leave(t.Context(), "nobody"), ErrNoSuchNode)
	check(t, a.client.Leave(t.Context(), "c"))
	a.wantAudit("Leave", "uid", "node c", "ok", "")
	b.until("a=alive b=alive c=left")
	_, err = c.daemon.members.follower.caller.peer.Announce(t.Context(), nil)
	if err == nil {
		t.Error("a node that was removed is still heard")
	}
	c.stop()
	c.start()
	check(t, c.client.Leave(t.Context(), "")) // only its files are left to go
	check(t, c.daemon.Wait(t.Context()))
	_, err = trust.Load(trust.Dir(c.cfg.State))
	wantErr(t, err, trust.ErrNoIdentity)
}

// A removed node is refused by all, and on connections it has open already.
func TestRemovedNodeIsRefused(t *testing.T) {
	hosts := cluster(t, 3)
	a, b, c := hosts[0], hosts[1], hosts[2]
	c.until("a=alive b=alive c=alive")
	open := newCaller(c.daemon.id, "b", b.daemon.Self().Address)
	defer open.close()
	call := func(c *caller) error {
		_, err := c.peer.StartUserDeputy(t.Context(), startOf(uint32(os.Geteuid())))
		return fromWire(err, unreachable("b", ""))
	}
	b.daemon.deputies.argv = []string{"/nonexistent"}
	if err := call(open); err == nil || errors.Is(err, ErrRefused) {
		t.Fatalf("before: %v", err)
	}
	check(t, a.client.Leave(t.Context(), "c"))
	b.until("a=alive b=alive c=left")
	wantErr(t, call(open), ErrRefused)
	fresh := newCaller(c.daemon.id, "b", b.daemon.Self().Address)
	defer fresh.close()
	wantErr(t, call(fresh), ErrUnreachable)
	b.stop() // so that all is written
	b.wantAudit("handshake", "a stranger", "", "refused", "revoked")
	b.wantAudit("/popcorn.node.v1.PeerService/StartUserDeputy", "a stranger", "", "refused", "revoked")
}

func TestRenewal(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	b.until("a=alive b=alive")
	before := b.daemon.id.Serial()
	check(t, b.daemon.members.follower.renew(t.Context()))
	if b.daemon.id.Serial() == before {
		t.Error("the same certificate")
	}
	a.wantAudit("Renew", "node b", "", "ok", "")
	wantErr(t, b.client.StartDeputy(t.Context(), "nobody", "", nil), ErrNoSuchNode)
	b.stop()
	b.start()
	a.until("a=alive b=alive")
	b.until("a=alive b=alive")
}

// untilMember asks for the member called name until it is as wanted.
func (h *host) untilMember(name string, ok func(Member) bool) {
	h.t.Helper()
	h.untilMembers(func(members []Member) string {
		m, err := findMember(members, name)
		check(h.t, err)
		if ok(m) {
			return ""
		}
		return fmt.Sprintf("member %+v", m)
	})
}
