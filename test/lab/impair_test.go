package lab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// thereAndBack is how long a word takes there and back.
func thereAndBack(t *testing.T, client, server net.Conn) time.Duration {
	t.Helper()
	begin := time.Now()
	say(t, client, "there")
	hear(t, server, "there")
	say(t, server, "back")
	hear(t, client, "back")
	return time.Since(begin)
}

func needImpair(t *testing.T) {
	t.Helper()
	if !CanImpair() {
		t.Skip("no /dev/net/tun: load the kernel module tun, or give a container --device /dev/net/tun")
	}
}

func TestDelay(t *testing.T) {
	needImpair(t)
	l := New(t, 3)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	client, server := connect(t, a, b)
	other, elsewhere := connect(t, a, c)
	const late = 50 * time.Millisecond
	l.Impair(a, b, late, 0)
	if took := thereAndBack(t, client, server); took < 2*late {
		t.Errorf("there and back in %v, with %v each way", took, late)
	}
	thereAndBack(t, other, elsewhere)
	l.Heal(a, b)
	thereAndBack(t, client, server)
	if on := l.net.detoured; on[[2]netip.Addr{a.Addr, b.Addr}] || on[[2]netip.Addr{b.Addr, a.Addr}] {
		t.Error("still on the detour after it was healed")
	}
}

// TCP gets everything through a network that loses some, and nothing through
// one that loses all.
func TestLoss(t *testing.T) {
	needImpair(t)
	l := New(t, 2)
	a, b := l.Host("a"), l.Host("b")
	client, server := connect(t, a, b)
	l.Impair(a, b, 0, 0.05)
	const size = 1 << 18
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, size))
		sent <- err
	}()
	if _, err := io.CopyN(io.Discard, server, size); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	l.Impair(a, b, 0, 1)
	say(t, client, "lost")
	silence(t, server)
	l.Heal(a, b)
	hear(t, server, "lost")
}

func TestReset(t *testing.T) {
	l := New(t, 3)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	client, server := connect(t, a, b)
	other, elsewhere := connect(t, a, c)
	if n := l.Reset(a, b); n == 0 {
		t.Fatal("no connection found")
	}
	for _, end := range []net.Conn{client, server} {
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.ECONNABORTED) {
			t.Errorf("an end of it reads %v", err)
		}
	}
	thereAndBack(t, other, elsewhere)
}
