package lab

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connection is one of TCP from a host to another.
func connection(t *testing.T, from, to *Host) (a, b net.Conn) {
	t.Helper()
	l, err := to.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if a, err = from.Dial(ctx, "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// TestSever breaks what two hosts have with each other, at both ends unless the way
// is cut, and nothing else.
func TestSever(t *testing.T) {
	l := New(t, 3)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	x, y := connection(t, a, b)
	spared, other := connection(t, a, c)
	n, err := l.Sever(a, b)
	if errors.Is(err, ErrCannotSever) {
		t.Skip(err)
	}
	if n != 1 || err != nil {
		t.Fatalf("%d connections, %v", n, err)
	}
	for _, end := range []net.Conn{x, y} {
		end.SetDeadline(time.Now().Add(limit))
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNABORTED) && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
	}
	go spared.Write([]byte("x"))
	other.SetDeadline(time.Now().Add(limit))
	if _, err := other.Read(make([]byte, 1)); err != nil {
		t.Errorf("the other connection: %v", err)
	}

	x, y = connection(t, b, a)
	l.Cut(a, b)
	if n, err := l.Sever(a, b); n != 1 || err != nil {
		t.Fatalf("%d connections, %v", n, err)
	}
	y.SetDeadline(time.Now().Add(limit))
	if _, err := y.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("the end that was severed: %v", err)
	}
	if n, err := l.Sever(b, a); n != 1 || err != nil {
		t.Errorf("the other end, which heard nothing: %d connections, %v", n, err)
	}
	x.Close()
}
