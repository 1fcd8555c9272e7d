package wire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

var authority = sync.OnceValue(func() *Authority { return newAuthority(hello(0).Job) })

func newAuthority(job [16]byte) *Authority {
	a, err := NewAuthority(job)
	if err != nil {
		panic(err)
	}
	return a
}

// trusted is a hello with credentials.
func trusted(t *testing.T, a *Authority, node uint16) Hello {
	t.Helper()
	c, err := a.Issue(node)
	if err != nil {
		t.Fatal(err)
	}
	h := hello(node)
	h.Credentials = &c
	return h
}

// tlsPair shakes hands over memory and goes on over x and y.
func tlsPair(t *testing.T, x, y stream) (*Conn, *Conn) {
	t.Helper()
	cx, cy := net.Pipe()
	done := make(chan *tlsStream)
	go func() {
		s, err := encrypt(cy, trusted(t, authority(), 0), roleAnswer)
		if err != nil {
			t.Error(err)
			cy.Close()
		}
		done <- s
	}()
	a, err := encrypt(cx, trusted(t, authority(), 1), roleDial)
	b := <-done
	if err != nil || b == nil {
		t.Fatal(err)
	}
	return newConn(a.over(x)), newConn(b.over(y))
}

func TestHandshakeTLS(t *testing.T) {
	d, a := meet(t, trusted(t, authority(), 1), trusted(t, authority(), 0))
	if d.err != nil || a.err != nil {
		t.Fatal(d.err, a.err)
	}
	defer d.c.Close()
	defer a.c.Close()
	if d.peer.Node != 0 || a.peer.Node != 1 || d.peer.Credentials != nil || a.peer.Credentials != nil {
		t.Errorf("dialer met %+v, answerer %+v", d.peer, a.peer)
	}
	s, ok := d.c.s.(*tlsStream)
	if !ok {
		t.Fatalf("the connection is a %T", d.c.s)
	}
	if st := s.tls.ConnectionState(); st.Version != tls.VersionTLS13 || st.DidResume {
		t.Errorf("%+v", st)
	}
	var got, back []frame
	if err := d.c.Send(Header{Type: TJoin, ID: 9}, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	pump(t, d.c, a.c, &got, 1)
	if err := a.c.Send(Header{Type: TJoined}, pattern(100_000, 1)); err != nil {
		t.Fatal(err)
	}
	pump(t, a.c, d.c, &back, 1)
	if got[0].h.ID != 9 || string(got[0].p) != "hi" || !bytes.Equal(back[0].p, pattern(100_000, 1)) {
		t.Errorf("got %v, then %d bytes", got, len(back[0].p))
	}
}

// What follows the handshake at once must be in the socket, where a poll sees it.
func TestHandshakeTakesNothingBehindIt(t *testing.T) {
	l := listen(t)
	done := make(chan met)
	go func() {
		c, peer, err := l.Accept(t.Context(), trusted(t, authority(), 0))
		if err == nil {
			err = c.Send(Header{Type: TPing}) // may arrive with the last words of the handshake
		}
		done <- met{c, peer, err}
	}()
	tcp, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	me := trusted(t, authority(), 1)
	s, err := encrypt(tcp, me, roleDial)
	if err != nil {
		t.Fatal(err)
	}
	held := &holdBack{Conn: tcp, until: done, t: t}
	s.sock.Conn = held
	peer, err := greet(s.tls, me)
	if err == nil {
		_, err = propose(s.tls, peer.Node, Ticket{})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer held.a.c.Close()
	rest := make([]byte, 100)
	tcp.SetReadDeadline(time.Now().Add(HandshakeTimeout))
	n, err := tcp.Read(rest)
	if err != nil || n != tlsHeader+HeaderSize+1+16 { // type and tag
		t.Errorf("%d bytes of the first frame are in the socket: %v", n, err)
	}
}

// holdBack lets the last read of the handshake wait until the peer is done with
// it and has sent a frame.
type holdBack struct {
	net.Conn
	until  chan met
	a      met
	writes int
	t      *testing.T
}

func (h *holdBack) Write(p []byte) (int, error) { h.writes++; return h.Conn.Write(p) }

func (h *holdBack) Read(p []byte) (int, error) {
	if h.writes == 3 && h.a.c == nil { // hello, proof and session
		if h.a = <-h.until; h.a.err != nil {
			h.t.Fatal(h.a.err)
		}
	}
	return h.Conn.Read(p)
}

func TestHandshakeRefusalsTLS(t *testing.T) {
	otherJob := hello(1).Job
	otherJob[5]++
	liar, stranger, plain := trusted(t, authority(), 2), trusted(t, newAuthority(hello(1).Job), 1), hello(1)
	liar.Node = 1
	foreign := trusted(t, newAuthority(otherJob), 1)
	crossed := *authority() // signed by ours, made out for another job
	crossed.job = otherJob
	outside := trusted(t, &crossed, 1)
	guess := trusted(t, authority(), 1)
	guess.Secret = []byte("guessed guessed guessed")
	good := trusted(t, authority(), 0)
	for name, c := range map[string]struct {
		dialer, answerer Hello
		byDialer         bool // it refuses, and the answerer hears of it
		dial, answer     error
	}{
		"wrong node":       {liar, good, false, ErrWrongNode, ErrWrongNode},
		"dials wrong node": {trusted(t, authority(), 0), liar, true, ErrWrongNode, nil},
		"wrong authority":  {stranger, good, true, ErrCertificate, ErrCertificate},
		"other job's":      {foreign, good, true, ErrCertificate, ErrCertificate},
		"other job":        {outside, good, false, ErrCertificate, ErrJob},
		"to other job":     {trusted(t, authority(), 0), outside, true, ErrJob, ErrCertificate},
		"secret":           {guess, good, false, ErrSecret, ErrSecret},
		"same node":        {good, good, false, ErrSameNode, ErrSameNode},
		"plain to TLS":     {plain, good, false, ErrOneSided, ErrOneSided},
		"TLS to plain":     {trusted(t, authority(), 1), hello(0), false, ErrOneSided, ErrOneSided},
	} {
		t.Run(name, func(t *testing.T) {
			d, a := meet(t, c.dialer, c.answerer)
			checkRefusal(t, "dialer", d, c.dial, !c.byDialer)
			if c.answer != nil {
				checkRefusal(t, "answerer", a, c.answer, c.byDialer)
			} else if a.err == nil {
				a.c.Close() // it was let down after its last word
			}
		})
	}
}

func checkRefusal(t *testing.T, who string, m met, want error, byPeer bool) {
	t.Helper()
	var he *HandshakeError
	if !errors.Is(m.err, want) || !errors.As(m.err, &he) || he.ByPeer != byPeer {
		t.Errorf("%s: %v, want %v, by the peer: %v", who, m.err, want, byPeer)
	}
	if m.c != nil {
		t.Errorf("%s: a connection was handed out", who)
	}
}

// speak has a client of crypto/tls that is not ours meet an answerer with
// credentials, and returns both errors.
func speak(t *testing.T, change func(*tls.Config)) (client, answerer error) {
	t.Helper()
	l := listen(t)
	done := make(chan error)
	go func() {
		c, _, err := l.Accept(t.Context(), trusted(t, authority(), 0))
		if c != nil {
			c.Close()
		}
		done <- err
	}()
	cfg, err := config(trusted(t, authority(), 1))
	if err != nil {
		t.Fatal(err)
	}
	change(cfg)
	c, err := tls.Dial("tcp", l.Addr(), cfg)
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	return err, <-done
}

func TestForeignClientsAreRefused(t *testing.T) {
	other, err := config(trusted(t, newAuthority(hello(1).Job), 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*tls.Config){
		"certificate":    func(c *tls.Config) { c.Certificates = other.Certificates },
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 },
		"no certificate": func(c *tls.Config) { c.Certificates = nil },
		"another ALPN":   func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"no ALPN":        func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			client, answerer := speak(t, change)
			if answerer == nil || client == nil {
				t.Fatalf("client: %v, answerer: %v", client, answerer)
			}
			if errors.Is(answerer, ErrCertificate) != (name == "certificate") {
				t.Errorf("answerer: %v", answerer)
			}
			if !isAlert(client, remoteAlert) {
				t.Errorf("the client was not told: %v", client)
			}
		})
	}
}

func TestStrangersAreToldNothingByTLS(t *testing.T) {
	for _, raw := range []string{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", strings.Repeat("\x00", 200)} {
		l := listen(t)
		done := make(chan error)
		go func() {
			_, _, err := l.Accept(t.Context(), trusted(t, authority(), 0))
			done <- err
		}()
		c, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte(raw))
		c.(*net.TCPConn).CloseWrite()
		back, _ := io.ReadAll(c)
		if err := <-done; !errors.Is(err, ErrNotPopcorn) || len(back) != 0 {
			t.Errorf("%v, %q back", err, back)
		}
	}
}

func TestCredentialsTravelAsJSON(t *testing.T) {
	c, err := authority().Issue(7)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Credentials
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	h := hello(7)
	h.Credentials = &back
	d, a := meet(t, h, trusted(t, authority(), 0))
	if d.err != nil || a.err != nil {
		t.Fatal(d.err, a.err)
	}
	d.c.Close()
	a.c.Close()
	if s, err := json.Marshal(authority()); err != nil || string(s) != "{}" {
		t.Errorf("an authority encodes as %s, %v", s, err)
	}
}

func TestBadCredentials(t *testing.T) {
	l := listen(t)
	for name, spoil := range map[string]func(*Credentials){
		"key":       func(c *Credentials) { c.Key = c.Key[1:] },
		"authority": func(c *Credentials) { c.Authority = nil },
		"empty":     func(c *Credentials) { *c = Credentials{} },
	} {
		h := trusted(t, authority(), 1)
		spoil(h.Credentials)
		if _, _, err := Dial(t.Context(), l.Addr(), h); err == nil || !strings.Contains(err.Error(), "read credentials") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	c, err := authority().Issue(65535)
	if err != nil {
		t.Fatal(err)
	}
	cert := parse(t, c.Certificate)
	if s := cert.URIs[0].String(); s != "popcorn://job/01020300000000000000000000000000/node/65535" {
		t.Errorf("a node is called %s", s)
	}
	if job, node, err := identified(cert); err != nil || node != 65535 || job != hello(0).Job {
		t.Errorf("%x %d %v", job, node, err)
	}
	good := cert.URIs[0].Path
	for _, path := range []string{"", "/", good + "0", good + "/", good[:30], strings.Replace(good, "65535", "-1", 1),
		strings.Replace(good, "65535", "065", 1), strings.ToUpper(good), strings.Replace(good, "01", "zz", 1)} {
		cert.URIs[0].Path = path
		if _, _, err := identified(cert); err == nil {
			t.Errorf("taken for a node: %q", path)
		}
	}
	cert.URIs = nil
	if _, _, err := identified(cert); err == nil {
		t.Error("nobody taken for a node")
	}
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
