package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// proxied is a connection from a to b through a proxy on c, with the listener
// on b.
func proxied(t *testing.T) (p *Proxy, client, server net.Conn) {
	t.Helper()
	l := New(t, 3)
	target, err := l.Host("b").Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	p = l.Proxy(l.Host("c"), ":0", target.Addr().String())
	if client, err = l.Host("a").Dial(within(t), "tcp", p.Addr()); err != nil {
		t.Fatal(err)
	}
	if server, err = target.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(limit))
	}
	return p, client, server
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Error(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("heard %q, %v; want %q", got, err, want)
	}
}

// silence looks for a moment; what must not come would have come by then, or
// the test is too kind, never too strict.
func silence(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer c.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, 100)
	if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard %q, %v; want nothing", b[:n], err)
	}
}

func TestProxyForwards(t *testing.T) {
	_, client, server := proxied(t)
	say(t, client, "there")
	hear(t, server, "there")
	say(t, server, "back")
	hear(t, client, "back")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // more than it holds
	go func() {
		client.Write(big)
		client.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes of %d, %v", len(got), len(big), err)
	}
	say(t, server, "half open")
	hear(t, client, "half open")
}

func TestProxyCuts(t *testing.T) {
	for name, c := range map[string]struct {
		cut         []Direction
		there, back bool // open
	}{
		"there": {[]Direction{Forward}, false, true},
		"back":  {[]Direction{Backward}, true, false},
		"both":  {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, client, server := proxied(t)
			p.Cut(c.cut...)
			say(t, client, "there")
			say(t, server, "back")
			for _, way := range []struct {
				open bool
				at   net.Conn
				text string
			}{{c.there, server, "there"}, {c.back, client, "back"}} {
				if way.open {
					hear(t, way.at, way.text)
					continue
				}
				silence(t, way.at)
				defer hear(t, way.at, way.text)
			}
			p.Heal()
		})
	}
}

// An end of a connection does not pass a cut either.
func TestProxyCutHidesTheEnd(t *testing.T) {
	p, client, server := proxied(t)
	p.Cut()
	say(t, client, "last words")
	client.Close()
	silence(t, server)
	p.Heal()
	if got, err := io.ReadAll(server); string(got) != "last words" || err != nil {
		t.Errorf("heard %q, %v", got, err)
	}
}

func TestProxyDelays(t *testing.T) {
	const d = 60 * time.Millisecond
	p, client, server := proxied(t)
	p.Delay(Forward, d)
	begin := time.Now()
	say(t, client, "slow")
	hear(t, server, "slow")
	if took := time.Since(begin); took < d {
		t.Errorf("it took %v, less than %v", took, d)
	}
	// The other way is not concerned: an hour would be noticed.
	p.Delay(Forward, time.Hour)
	say(t, client, "never")
	say(t, server, "at once")
	hear(t, client, "at once")
	silence(t, server)
}

func TestProxyResets(t *testing.T) {
	p, client, server := proxied(t)
	say(t, client, "x")
	hear(t, server, "x")
	p.Cut()
	p.Reset()
	for _, c := range []net.Conn{client, server} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	}
}

func TestProxyDropsAShare(t *testing.T) {
	l := withProbe(t, 3)
	_, at := start(t, l.Host("b"), "listen", "tcp", "b:0")
	p := l.Proxy(l.Host("c"), ":0", at)
	const seed, share, n = 7, 0.3, 60
	p.Drop(share, seed)
	dropped := 0
	for expect, i := rand.New(rand.NewPCG(seed, 0)), 0; i < n; i++ {
		want := expect.Float64() < share
		if want {
			dropped++
		}
		if err := echo(within(t), l.Host("a"), p.Addr()); (err != nil) != want {
			t.Errorf("connection %d: %v, dropped should be %v", i, err, want)
		} else if want && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d: %v, want a reset", i, err)
		}
	}
	if p.Dropped() != dropped || dropped == 0 || dropped == n {
		t.Errorf("%d of %d dropped, want %d", p.Dropped(), n, dropped)
	}
}

// echo connects and wants an answer.
func echo(ctx context.Context, from *Host, at string) error {
	c, err := from.Dial(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, "x"); err != nil {
		return errors.Join(syscall.ECONNRESET, err) // EPIPE when the reset was seen before
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestProxyToNobody(t *testing.T) {
	l := New(t, 2)
	p := l.Proxy(l.Host("a"), ":0", l.Host("b").Addr.String()+":9")
	c, err := l.Host("b").Dial(within(t), "tcp", p.Addr())
	if err == nil { // else the reset was there first
		defer c.Close()
		c.SetDeadline(time.Now().Add(limit))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("dial and read: %v, want a reset", err)
	}
}
