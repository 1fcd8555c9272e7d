package node

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

func startOf(uid uint32) *api.StartUserDeputyRequest {
	return &api.StartUserDeputyRequest{ApiVersion: api.Version, Uid: uid, Gid: uid}
}

func TestTokensAreUsedOnce(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	addr, tok := a.daemon.Self().Address, a.token()
	b, c := newHost(t, "b"), newHost(t, "c")
	_, err := Join(t.Context(), b.cfg, addr, tok)
	check(t, err)
	_, err = Join(t.Context(), c.cfg, addr, tok)
	wantErr(t, err, ErrRefused)
	if !strings.Contains(err.Error(), "used already") {
		t.Errorf("it does not say why: %v", err)
	}
	a.wantAudit("Join", "a stranger", "node c", "refused", "used already")
	_, err = Join(t.Context(), b.cfg, addr, a.token()) // b is a node by now
	wantErr(t, err, ErrRefused)
	b2 := newHost(t, "b")
	_, err = Join(t.Context(), b2.cfg, addr, a.token())
	wantErr(t, err, ErrRefused)
	_, err = Join(t.Context(), c.cfg, addr, "popcorn1.nonsense")
	wantErr(t, err, ErrMalformed)
}

func TestForgedToken(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	tok, err := trust.ParseToken(a.token())
	check(t, err)
	tok.Secret[0] ^= 1
	b := newHost(t, "b")
	_, err = Join(t.Context(), b.cfg, a.daemon.Self().Address, tok.String())
	wantErr(t, err, ErrRefused)
	a.wantAudit("Join", "a stranger", "node b", "refused", "unknown token")
}

// The secret of a token is for its own authority only.
func TestTokenOfAnotherCluster(t *testing.T) {
	a, other := newHost(t, "a"), newHost(t, "a")
	a.start()
	other.start()
	b := newHost(t, "b")
	_, err := Join(t.Context(), b.cfg, other.daemon.Self().Address, a.token())
	wantErr(t, err, ErrRefused)
	if n := len(other.audited("Join")); n != 0 {
		t.Errorf("the other cluster was asked %d times", n)
	}
	if _, err := trust.Load(trust.Dir(b.cfg.State)); !errors.Is(err, trust.ErrNoIdentity) {
		t.Errorf("b is somebody: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	tok := a.token()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	addr := ln.Addr().String()
	ln.Close()
	b := newHost(t, "b")
	_, err = Join(t.Context(), b.cfg, addr, tok)
	wantErr(t, err, ErrUnreachable)
	_, err = Dial(t.Context(), b.cfg.Socket)
	wantErr(t, err, ErrNoDaemon)
	b.join(a)
	a.until("a=alive b=alive")
	b.stop()
	err = a.client.StartDeputy(t.Context(), "b", "", nil)
	wantErr(t, err, ErrUnreachable)
	if !strings.Contains(err.Error(), "is \"popcorn node serve\" running there?") {
		t.Errorf("it does not say what to do: %v", err)
	}
	a.wantAudit("StartDeputy", "uid", "node b", "failed", "unreachable")
}

// strangersClient calls a's peer service without being of the cluster.
func strangersClient(t *testing.T, a *host, cfg *tls.Config) api.PeerServiceClient {
	tr := transport(cfg)
	t.Cleanup(tr.CloseIdleConnections)
	return api.NewPeerServiceClient(&http.Client{Transport: tr}, "https://"+a.daemon.Self().Address)
}

func TestStrangersAreRefused(t *testing.T) {
	a, other := newHost(t, "a"), newHost(t, "a")
	a.start()
	other.start()
	foreign := other.daemon.id.ClientConfig("a")
	foreign.VerifyConnection = nil // it does not care whom it attacks
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	for name, cfg := range map[string]*tls.Config{"no certificate": {InsecureSkipVerify: true}, "another cluster": foreign, "TLS 1.2": old} {
		client := strangersClient(t, a, cfg)
		if _, err := client.StartUserDeputy(t.Context(), startOf(1000)); err == nil {
			t.Errorf("%s: a deputy was started", name)
		}
		if _, err := client.Announce(t.Context(), &api.AnnounceRequest{ApiVersion: 1}); err == nil {
			t.Errorf("%s: heard", name)
		}
	}
	a.stop()
	a.wantAudit("/popcorn.node.v1.PeerService/StartUserDeputy", "a stranger", "", "refused", "there is none")
	a.wantAudit("handshake", "a stranger", "", "refused", "not of this cluster")
	a.wantAudit("handshake", "a stranger", "", "refused", "version")
}

func TestNewerVersionIsRefused(t *testing.T) {
	hosts := cluster(t, 2)
	c := newCaller(hosts[1].daemon.id, "", hosts[0].daemon.Self().Address)
	defer c.close()
	for _, v := range []uint32{0, api.Version + 1} {
		_, err := c.peer.Announce(t.Context(), &api.AnnounceRequest{ApiVersion: v})
		want := ErrVersion
		if v == 0 {
			want = ErrMalformed
		}
		wantErr(t, fromWire(err, func(err error) error { return err }), want)
	}
	hosts[0].wantAudit("Announce", "node b", "", "refused", "knows up to 1")
}

func TestStateIsOneDaemons(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	_, err := Start(a.cfg)
	if err == nil || !strings.Contains(err.Error(), "a daemon runs on it already") {
		t.Errorf("a second daemon: %v", err)
	}
	other := a.cfg
	other.State = t.TempDir()
	if _, err := Start(other); err == nil || !strings.Contains(err.Error(), "a daemon listens there already") {
		t.Errorf("a second daemon at the socket: %v", err)
	}
	other.Socket += "2"
	other.Name = "home"
	if _, err := Start(other); err == nil {
		t.Error("a node called home")
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.toml")
	check(t, os.WriteFile(path, []byte("allow_users = [\"ann\", \"7\"]\nallow_root = true\nlisten = \":1\"\n"), 0o600))
	c, err := LoadConfig(path)
	check(t, err)
	if len(c.AllowUsers) != 2 || !c.AllowRoot || c.Listen != ":1" {
		t.Errorf("read %+v", c)
	}
	check(t, os.WriteFile(path, []byte("cpus = 2\nmemory = \"4G\"\npids = 500\ndeputy_memory = 104857600\nmap_users = {\"ann\" = \"guest1\"}\n"), 0o600))
	c, err = LoadConfig(path)
	check(t, err)
	if got := c.all().String() + "; " + c.each().String(); got != "2 cpus, 4GiB memory, 500 pids; 100MiB memory" || c.MapUsers["ann"] != "guest1" {
		t.Errorf("read %s and %+v", got, c)
	}
	check(t, os.WriteFile(path, []byte("alow_root = true\n"), 0o600))
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), "alow_root") {
		t.Errorf("a mistyped key: %v", err)
	}
	if _, err := LoadConfig(path + "x"); err == nil {
		t.Error("a file that is not there")
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{"h": "h:7946", "h:1": "h:1", "10.0.0.1": "10.0.0.1:7946", "::1": "[::1]:7946", "[::1]:3": "[::1]:3", "h:": "h:7946"} {
		if got := WithPort(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{"", ":1", "h", "h:0", "h:99999", "0.0.0.0:1", "[::]:1"} {
		wantErr(t, checkAddress(bad), ErrMalformed)
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	a := newHost(t, "a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Serve(ctx, a.cfg) }()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("told %q, %v", buf[:n], err)
	}
	cancel()
	check(t, <-done)
	if _, err := os.Stat(a.cfg.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket left behind: %v", err)
	}
}
