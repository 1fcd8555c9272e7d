package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHostsReachEachOther(t *testing.T) {
	l := withProbe(t, 3)
	for _, server := range l.Hosts() {
		_, at := start(t, server, "listen", "tcp", server.Name+":0")
		for _, client := range l.Hosts() {
			if got := run(t, client, "dial", "tcp", at, "hello"); got != "hello\n" {
				t.Errorf("%s to %s: %q", client.Name, server.Name, got)
			}
		}
	}
}

// Two labs at once do not see each other, nor does the machine see them.
func TestNetworksAreApart(t *testing.T) {
	one, two := withProbe(t, 1), withProbe(t, 1)
	_, at := start(t, one.Host("a"), "listen", "tcp", "a:7000")
	ctx, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	if c, err := two.Host("a").Dial(ctx, "tcp", at); err == nil {
		c.Close()
		t.Error("a host of another lab was reached")
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Name, portName("")) {
			t.Errorf("link %s is the machine's", link.Name)
		}
	}
}

// datagrams is a path for datagrams between two hosts. On one path none
// overtakes another, so that what comes first tells what was lost before.
type datagrams struct {
	t        *testing.T
	from, to net.PacketConn
}

func pathFor(t *testing.T, from, to *Host) datagrams {
	t.Helper()
	d := datagrams{t: t}
	for _, end := range []struct {
		h *Host
		c *net.PacketConn
	}{{from, &d.from}, {to, &d.to}} {
		var err error
		if *end.c, err = end.h.ListenPacket("udp", ":0"); err != nil {
			t.Fatal(err)
		}
		c := *end.c
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(limit))
	}
	return d
}

func (d datagrams) send(text string) {
	d.t.Helper()
	if _, err := d.from.WriteTo([]byte(text), d.to.LocalAddr()); err != nil {
		d.t.Errorf("send %q: %v; a cut must be silent", text, err)
	}
}

func (d datagrams) want(text string) {
	d.t.Helper()
	b := make([]byte, 100)
	n, _, err := d.to.ReadFrom(b)
	if err != nil || string(b[:n]) != text {
		d.t.Errorf("received %q, %v; want %q", b[:n], err, text)
	}
}

func TestCutAndHeal(t *testing.T) {
	l := New(t, 3)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	there, back, aside := pathFor(t, a, b), pathFor(t, b, a), pathFor(t, a, c)
	for _, d := range []datagrams{there, back, aside} {
		d.send("first")
		d.want("first")
	}
	l.Cut(a, b)
	l.Cut(a, b) // twice is once
	there.send("lost")
	back.send("lost")
	aside.send("c is not concerned")
	aside.want("c is not concerned")
	l.Heal(a, b)
	there.send("healed")
	there.want("healed")
	back.send("healed")
	back.want("healed")

	l.CutOneWay(a, b)
	there.send("lost")
	back.send("open")
	back.want("open")
	l.Heal(b, a)
	there.send("healed again")
	there.want("healed again")
}

// connect is a connection between two hosts.
func connect(t *testing.T, from, to *Host) (client, server net.Conn) {
	t.Helper()
	l, err := to.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = from.Dial(within(t), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(limit))
	}
	return client, server
}

func TestConnectionsOutliveACut(t *testing.T) {
	l := New(t, 2)
	a, b := l.Host("a"), l.Host("b")
	client, server := connect(t, a, b)
	for name, fault := range map[string]struct{ do, undo func() }{
		"cut":    {func() { l.Cut(a, b) }, func() { l.Heal(a, b) }},
		"unplug": {b.Unplug, b.Plug},
	} {
		fault.do()
		fmt.Fprintln(client, name)
		ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
		if c, err := a.Dial(ctx, "tcp", b.Addr.String()+":1"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: dial: %v, %v; want no answer", name, c, err)
		}
		cancel()
		fault.undo()
		if line, err := bufio.NewReader(server).ReadString('\n'); line != name+"\n" {
			t.Errorf("%s: received %q, %v", name, line, err)
		}
	}
}

func TestPowerOffIsSilent(t *testing.T) {
	l := New(t, 2)
	a, b := l.Host("a"), l.Host("b")
	client, server := connect(t, a, b)
	server.Close() // the end of a process closes its sockets, as here
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("an orderly end: %v", err)
	}
	p := withProbe(t, 2)
	a, b = p.Host("a"), p.Host("b")
	_, at := start(t, b, "listen", "tcp", "b:7000")
	client, err := a.Dial(within(t), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	fmt.Fprintln(client, "hello")
	if _, err := bufio.NewReader(client).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := b.PowerOff(); err != nil {
		t.Fatal(err)
	}
	client.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read from a host without power: %v, want nothing", err)
	}
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
