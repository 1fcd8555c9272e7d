package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"popcorn/internal/sys"
)

var secret = []byte("a secret of at least 16 bytes")

func hello(node uint16) Hello {
	return Hello{Job: [16]byte{1, 2, 3}, Node: node, Lane: 5, Secret: secret}
}

func listen(t testing.TB) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

type met struct {
	c    *Conn
	peer Hello
	err  error
}

// meet lets a dialer and an answerer find each other over TCP.
func meet(t testing.TB, dialer, answerer Hello) (d, a met) {
	t.Helper()
	l := listen(t)
	done := make(chan met)
	go func() {
		c, peer, err := l.Accept(t.Context(), answerer)
		done <- met{c, peer, err}
	}()
	c, peer, err := Dial(t.Context(), l.Addr(), dialer)
	return met{c, peer, err}, <-done
}

func TestHandshake(t *testing.T) {
	d, a := meet(t, hello(1), hello(0))
	if d.err != nil || a.err != nil {
		t.Fatal(d.err, a.err)
	}
	defer d.c.Close()
	defer a.c.Close()
	if d.peer.Node != 0 || a.peer.Node != 1 || d.peer.Lane != 5 || a.peer.Lane != 5 || a.peer.Job != hello(0).Job {
		t.Errorf("dialer met %+v, answerer %+v", d.peer, a.peer)
	}
	if d.peer.Secret != nil || a.peer.Secret != nil {
		t.Error("a secret was received")
	}
	if err := d.c.Send(Header{Type: TJoin, ID: 9}, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	var got []frame
	pump(t, d.c, a.c, &got, 1)
	if got[0].h.ID != 9 || string(got[0].p) != "hi" {
		t.Errorf("got %v", got)
	}
}

// TestUnix: nodes of one host meet by a unix socket, whose name goes with its listener.
func TestUnix(t *testing.T) {
	l, err := Listen(Unix)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan met)
	go func() {
		c, peer, err := l.Accept(t.Context(), hello(0))
		done <- met{c, peer, err}
	}()
	c, peer, err := Dial(t.Context(), l.Addr(), hello(1))
	a := <-done
	if err != nil || a.err != nil || peer.Node != 0 || a.peer.Node != 1 {
		t.Fatal(err, a.err, peer, a.peer)
	}
	defer c.Close()
	defer a.c.Close()
	for i, n := range []int{0, 5, 4096, MaxPayload} {
		if err := c.Send(Header{Type: TMap, ID: uint64(i)}, pattern(n, i)); err != nil {
			t.Fatal(err)
		}
	}
	var got []frame
	pump(t, c, a.c, &got, 4)
	if last := got[3]; last.h.ID != 3 || !bytes.Equal(last.p, pattern(MaxPayload, 3)) {
		t.Errorf("got %v", last.h)
	}
	l.Close()
	if err := Probe(t.Context(), l.Addr()); !errors.Is(err, sys.ECONNREFUSED) {
		t.Errorf("after its end: %v", err)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	otherJob, otherSecret := hello(1), hello(1)
	otherJob.Job[0]++
	otherSecret.Secret = []byte("another secret of 16 bytes")
	for name, c := range map[string]struct {
		dialer Hello
		want   error
	}{
		"job": {otherJob, ErrJob}, "secret": {otherSecret, ErrSecret}, "node": {hello(0), ErrSameNode},
	} {
		t.Run(name, func(t *testing.T) {
			d, a := meet(t, c.dialer, hello(0))
			var dh, ah *HandshakeError
			if !errors.Is(d.err, c.want) || !errors.As(d.err, &dh) || !dh.ByPeer {
				t.Errorf("dialer: %v", d.err)
			}
			if !errors.Is(a.err, c.want) || !errors.As(a.err, &ah) || ah.ByPeer {
				t.Errorf("answerer: %v", a.err)
			}
			if d.c != nil || a.c != nil {
				t.Error("a connection was handed out")
			}
		})
	}
}

func TestListenerOutlivesRefusal(t *testing.T) {
	l := listen(t)
	bad := hello(1)
	bad.Secret = []byte("guessed guessed guessed")
	done := make(chan error)
	go func() {
		_, _, first := l.Accept(t.Context(), hello(0))
		c, _, err := l.Accept(t.Context(), hello(0))
		if c != nil {
			c.Close()
		}
		if !errors.Is(first, ErrSecret) {
			err = errors.Join(err, errors.New("first was not refused"), first)
		}
		done <- err
	}()
	if _, _, err := Dial(t.Context(), l.Addr(), bad); !errors.Is(err, ErrSecret) {
		t.Error(err)
	}
	c, _, err := Dial(t.Context(), l.Addr(), hello(1))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShortSecret(t *testing.T) {
	short := hello(1)
	short.Secret = short.Secret[:minSecret-1]
	l := listen(t)
	if _, _, err := Dial(t.Context(), l.Addr(), short); err == nil {
		t.Error("dialed with a short secret")
	}
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := l.Accept(t.Context(), short); err == nil {
		t.Error("accepted with a short secret")
	}
}

// say connects to an answerer, writes raw, and returns what comes back until
// the end and the answerer's error.
func say(t *testing.T, raw []byte) ([]byte, error) {
	t.Helper()
	l := listen(t)
	done := make(chan error)
	go func() {
		c, _, err := l.Accept(t.Context(), hello(0))
		if c != nil {
			c.Close()
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(raw)
	c.(*net.TCPConn).CloseWrite()
	back, _ := io.ReadAll(c)
	return back, <-done
}

func TestNewerVersionIsRefusedInWords(t *testing.T) {
	h := makeHello(hello(1), roleDial, Accepted, nonce())
	binary.LittleEndian.PutUint16(h[8:], Version+1)
	back, err := say(t, append(h[:], make([]byte, 500)...)) // a newer hello may be longer
	var he *HandshakeError
	if !errors.Is(err, ErrVersion) || !errors.As(err, &he) || he.Ours != Version || he.Theirs != Version+1 {
		t.Errorf("answerer: %v", err)
	}
	if len(back) != helloSize {
		t.Fatalf("%d bytes came back", len(back))
	}
	answer := helloBytes(back)
	peer, reason, err := answer.parse(roleAnswer)
	if err != nil || reason != BadVersion || peer.Job != [16]byte{} {
		t.Errorf("%+v, %d, %v", peer, reason, err)
	}
}

func TestDialOfNewerVersion(t *testing.T) {
	l := listen(t)
	go func() {
		c, err := l.AcceptSocket(t.Context())
		if err != nil {
			return
		}
		defer c.Close()
		h := makeHello(hello(0), roleAnswer, BadVersion, nonce())
		binary.LittleEndian.PutUint16(h[8:], Version+1)
		c.Write(h[:])
		linger(c)
	}()
	var he *HandshakeError
	_, _, err := Dial(t.Context(), l.Addr(), hello(1))
	if !errors.As(err, &he) || he.Reason != BadVersion || he.Theirs != Version+1 {
		t.Errorf("%v", err)
	}
}

func TestStrangersAreToldNothing(t *testing.T) {
	answered := makeHello(hello(1), roleAnswer, Accepted, nonce())
	for name, raw := range map[string][]byte{
		"http": []byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody with a long name\r\n\r\n"),
		"echo": answered[:], // an answerer's own words sent back
		"zero": make([]byte, 200),
	} {
		back, err := say(t, raw)
		if !errors.Is(err, ErrNotPopcorn) || len(back) != 0 {
			t.Errorf("%s: %v, %d bytes back", name, err, len(back))
		}
	}
	if _, err := say(t, []byte("popcorn\n")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a hello: %v", err)
	}
}

// A dialer that replays the answerer's proof, or sends none, gets no proof.
func TestProofIsNotReflected(t *testing.T) {
	h := makeHello(hello(1), roleDial, Accepted, nonce())
	for _, p := range [][]byte{make([]byte, proofSize), h[:proofSize]} {
		back, err := say(t, append(h[:], p...))
		if !errors.Is(err, ErrSecret) {
			t.Errorf("%v", err)
		}
		if len(back) != helloSize+1+proofSize || Reason(back[helloSize]) != WrongSecret {
			t.Fatalf("%d bytes back", len(back))
		}
		for _, b := range back[helloSize+1:] {
			if b != 0 {
				t.Fatal("a proof was sent to a stranger")
			}
		}
	}
	mine, theirs := makeHello(hello(1), roleDial, 0, nonce()), makeHello(hello(0), roleAnswer, 0, nonce())
	if proof(secret, roleDial, &mine, &theirs) == proof(secret, roleAnswer, &mine, &theirs) {
		t.Error("both roles have one proof")
	}
}

func TestFalseAnswererIsRefused(t *testing.T) {
	l := listen(t)
	go func() {
		c, err := l.AcceptSocket(t.Context())
		if err != nil {
			return
		}
		defer c.Close()
		h := makeHello(hello(0), roleAnswer, Accepted, nonce())
		c.Write(h[:])
		c.Write(make([]byte, 1+proofSize)) // "accepted", and no proof
		linger(c)
	}()
	var he *HandshakeError
	_, _, err := Dial(t.Context(), l.Addr(), hello(1))
	if !errors.Is(err, ErrSecret) || !errors.As(err, &he) || he.ByPeer {
		t.Errorf("%v", err)
	}
}

func TestSilentPeerEndsWithContext(t *testing.T) {
	t.Run("plain", func(t *testing.T) { answerSilence(t, hello(0)) })
	t.Run("tls", func(t *testing.T) { answerSilence(t, trusted(t, authority(), 0)) })
}

func answerSilence(t *testing.T, me Hello) {
	l := listen(t)
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tcp, err := l.AcceptSocket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := Answer(ctx, tcp, me); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the peer was not let go: %v", err)
	}
}

func TestAcceptEndsWithContextAndClose(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Accept(ctx, hello(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := l.AcceptSocket(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timed out: %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := l.AcceptSocket(t.Context())
		done <- err
	}()
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	l := listen(t)
	addr := l.Addr()
	l.Close()
	if _, _, err := Dial(t.Context(), addr, hello(1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := Listen("not an address"); err == nil {
		t.Error("listens on nonsense")
	}
}

func FuzzHello(f *testing.F) {
	h := makeHello(hello(1), roleDial, Accepted, [nonceSize]byte{})
	f.Add(h[:])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < helloSize {
			return
		}
		b := helloBytes(raw[:helloSize])
		peer, reason, err := b.parse(roleDial)
		var he *HandshakeError
		if err != nil && !errors.As(err, &he) {
			t.Fatalf("%v", err)
		}
		if err == nil && (reason >= reasonEnd || peer.Secret != nil) {
			t.Fatalf("%+v, reason %d", peer, reason)
		}
	})
}
