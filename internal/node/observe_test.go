package node

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popcorn/internal/sys"
)

// get asks the metrics door of h.
func (h *host) get(path string) (int, string) {
	h.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get("http://" + h.daemon.servers.metricsAt.Addr().String() + path)
	check(h.t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	check(h.t, err)
	return reply.StatusCode, string(text)
}

func TestMetrics(t *testing.T) {
	a, b := newHost(t, "a"), newHost(t, "b")
	a.cfg.Metrics = "127.0.0.1:0"
	a.start()
	b.join(a)
	a.until("a=alive b=alive")
	if b.daemon.servers.metricsAt != nil {
		t.Error("metrics at a node that was not told to")
	}
	_, text := a.get("/metrics")
	for _, want := range []string{
		`popcorn_node_info{cluster="` + a.daemon.id.Identity().Cluster + `",name="a",role="founder",version="test"} 1`,
		`popcorn_members{state="alive"} 2`, `popcorn_members{state="unreachable"} 0`, "popcorn_deputies 0", "popcorn_draining 0",
		`popcorn_calls_total{call="Join",result="ok"} 1`, "popcorn_certificate_expires_timestamp_seconds", "go_goroutines",
		"process_open_fds",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	b.stop()
	a.until("a=alive b=unreachable")
	a.drain("")
	if _, text = a.get("/metrics"); !strings.Contains(text, `popcorn_members{state="unreachable"} 1`) || !strings.Contains(text, "\npopcorn_draining 1\n") {
		t.Errorf("after a loss:\n%s", text)
	}
}

func TestHealth(t *testing.T) {
	a := newHost(t, "a")
	a.cfg.Metrics = "127.0.0.1:0"
	a.start()
	if code, text := a.get("/healthz"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("health %d %s", code, text)
	}
	a.daemon.part() // nobody looks at the cluster any more
	a.daemon.members.seen.Store(time.Now().Add(-time.Hour).UnixNano())
	if code, text := a.get("/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "stuck") {
		t.Errorf("health of a daemon that is stuck: %d %s", code, text)
	}
}

// serviceManager is what systemd is to a service.
func serviceManager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	check(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	return c
}

// told waits until the service manager is told something that begins so.
func told(t *testing.T, c *net.UnixConn, want string) {
	t.Helper()
	buf := make([]byte, 100)
	for {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("not told %s: %v", want, err)
		}
		if strings.HasPrefix(string(buf[:n]), want) {
			return
		}
	}
}

// The service manager hears that the daemon is well, and of SIGHUP, which takes up
// who is let in.
func TestWatchdogAndReload(t *testing.T) {
	c := serviceManager(t)
	t.Setenv("WATCHDOG_USEC", fmt.Sprint((50 * time.Millisecond).Microseconds()))
	a := newHost(t, "a")
	next := a.cfg
	next.AllowRoot, next.AllowUsers = false, []string{"4711"}
	a.cfg.Reload = func() (Config, error) { return next, nil }
	stop := a.serve()
	told(t, c, "READY=1")
	told(t, c, "WATCHDOG=1")
	client, err := Dial(t.Context(), a.cfg.Socket)
	check(t, err)
	check(t, sys.Kill(os.Getpid(), sys.SIGHUP))
	told(t, c, "RELOADING=1")
	told(t, c, "READY=1")
	wantErr(t, client.StartDeputy(t.Context(), "a", "", nil), ErrRefused)
	stop()
	told(t, c, "STOPPING=1")
}

func TestWatchdogOfAnother(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "1")
	if d := watchdog(); d != 0 {
		t.Errorf("watchdog %v", d)
	}
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	if d := watchdog(); d != time.Second {
		t.Errorf("watchdog %v", d)
	}
}
