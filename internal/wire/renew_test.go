package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"popcorn/internal/sys"
)

// renewed is one end's outcome of a renewal.
type renewed struct {
	r   *Renewal
	err error
}

// renewOver has ticket redialled by dialer over TCP, and answered with find.
func renewOver(t *testing.T, ticket Ticket, dialer, answerer Hello, find func(uint16, SessionID) (Ticket, bool)) (d, a renewed) {
	t.Helper()
	l := listen(t)
	done := make(chan renewed)
	go func() {
		tcp, err := l.AcceptSocket(t.Context())
		if err != nil {
			done <- renewed{err: err}
			return
		}
		r, _, err := AnswerAgain(t.Context(), tcp, answerer, find)
		done <- renewed{r, err}
	}()
	d.r, d.err = ticket.Redial(t.Context(), l.Addr(), dialer)
	return d, <-done
}

// TestRenewal: sessions over TLS and TCP go on over other connections, with
// whatever was under way when one was cut at either end.
func TestRenewal(t *testing.T) {
	dialer, answerer := trusted(t, authority(), 1), trusted(t, authority(), 0)
	d, a := meet(t, dialer, answerer)
	if d.err != nil || a.err != nil {
		t.Fatal(d.err, a.err)
	}
	defer d.c.Close()
	defer a.c.Close()
	if d.c.Session() != a.c.Session() || d.c.Session() == (SessionID{}) {
		t.Fatalf("sessions %x and %x", d.c.Session(), a.c.Session())
	}
	w := &twins{c: [2]*Conn{a.c, d.c}}
	for round := range 10 {
		for i := range 20 {
			w.must(t, w.send(0, 5000*i), w.send(1, 3000*i))
			if i%7 == 3 {
				w.must(t, w.recv(i%2))
			}
		}
		sys.Shutdown(w.c[round%2].FD()) // the other end finds out
		w.must(t, w.send(round%2, 10), w.recv(1-round%2))
		ticket := d.c.Suspend()
		dr, ar := renewOver(t, ticket, dialer, answerer, func(node uint16, id SessionID) (Ticket, bool) {
			return a.c.Suspend(), node == 1 && id == a.c.Session()
		})
		if dr.err != nil || ar.err != nil || !d.c.Resume(dr.r) || !a.c.Resume(ar.r) {
			t.Fatal(dr.err, ar.err)
		}
	}
	w.must(t, w.finish())
}

// TestGoodbyeIsNoCut: an end that closes ends the session; one that dies, or is cut
// off, does not.
func TestGoodbyeIsNoCut(t *testing.T) {
	for name, closes := range map[string]bool{"closes": true, "dies": false} {
		t.Run(name, func(t *testing.T) {
			d, a := meet(t, trusted(t, authority(), 1), trusted(t, authority(), 0))
			if d.err != nil || a.err != nil {
				t.Fatal(d.err, a.err)
			}
			defer a.c.Close()
			if closes {
				d.c.Close()
			} else {
				d.c.Suspend()
			}
			err := a.c.Recv(nil)
			for err == nil {
				err = a.c.Recv(nil)
			}
			if closes && err != io.EOF || !closes && !errors.Is(err, ErrBroken) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestRenewalRefused: nobody takes over a session that is not theirs or goes on
// where it does not, and the session is none the worse for it.
func TestRenewalRefused(t *testing.T) {
	const acked, sent, got = 100, 200, 50
	id := newSessionID()
	ours := Ticket{id: id, node: 1, got: got, acked: acked, sent: sent}
	good := Ticket{id: id, node: 0, got: 150, acked: got, sent: 60}
	with := func(f func(*Ticket)) Ticket { c := good; f(&c); return c }
	for name, c := range map[string]struct {
		theirs Ticket
		node   uint16
		ok     bool
	}{
		"good":          {good, 1, true},
		"all has come":  {with(func(t *Ticket) { t.got = sent }), 1, true},
		"nothing since": {with(func(t *Ticket) { t.got = acked }), 1, true},
		"other node":    {good, 2, false},
		"other id":      {with(func(t *Ticket) { t.id[15]++ }), 1, false},
		"no id":         {with(func(t *Ticket) { t.id = SessionID{} }), 1, false},
		"ahead":         {with(func(t *Ticket) { t.got = sent + 1 }), 1, false},
		"behind":        {with(func(t *Ticket) { t.got = acked - 1 }), 1, false},
		"negative":      {with(func(t *Ticket) { t.got = 1<<64 - 1 }), 1, false},
		"we ahead":      {with(func(t *Ticket) { t.sent = got - 1 }), 1, false},
		"we behind":     {with(func(t *Ticket) { t.acked = got + 1 }), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			find := func(node uint16, asked SessionID) (Ticket, bool) { return ours, true } // as careless as can be
			d, a := renewOver(t, c.theirs, trusted(t, authority(), c.node), trusted(t, authority(), 0), find)
			for _, r := range []renewed{d, a} {
				if r.r != nil {
					defer r.r.Close()
				}
			}
			if !c.ok {
				if !errors.Is(d.err, ErrSession) {
					t.Errorf("dialer: %v", d.err)
				}
				return
			}
			if d.err != nil || a.err != nil || d.r.peerGot != got || a.r.peerGot != c.theirs.got {
				t.Errorf("%v, %v", d, a)
			}
		})
	}
}

// TestNewSessionOnly: who expects new peers takes no renewals, and none that claims
// to have had something.
func TestNewSessionOnly(t *testing.T) {
	for name, c := range map[string]claim{"renewal": {id: newSessionID()}, "position": {got: 1}} {
		t.Run(name, func(t *testing.T) {
			x, y := net.Pipe()
			done := make(chan error, 1)
			go func() {
				_, _, err := dispose(y, 1, newOnly)
				y.Close()
				done <- err
			}()
			_, err := propose(x, 0, Ticket{id: c.id, got: c.got})
			if other := <-done; !errors.Is(err, ErrSession) || !errors.Is(other, ErrSession) {
				t.Errorf("%v, %v", err, other)
			}
		})
	}
}

// TestRenewalCutShort: a connection that ends within the renewal is an error, no
// refusal: it can be tried again.
func TestRenewalCutShort(t *testing.T) {
	l := listen(t)
	done := make(chan error, 1)
	go func() {
		tcp, err := l.AcceptSocket(t.Context())
		if err == nil {
			_, _, err = AnswerAgain(t.Context(), tcp, trusted(t, authority(), 0), func(uint16, SessionID) (Ticket, bool) {
				tcp.(*net.TCPConn).SetLinger(0)
				tcp.Close()
				return Ticket{}, false
			})
		}
		done <- err
	}()
	_, err := Ticket{id: newSessionID()}.Redial(context.Background(), l.Addr(), trusted(t, authority(), 1))
	<-done
	if err == nil || errors.As(err, new(*HandshakeError)) {
		t.Errorf("%v", err)
	}
}
