package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popcorn/internal/wire"
)

// block is the content of a PEM file in a state directory.
func (h *host) block(name string) []byte {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.cfg.State, name))
	check(h.t, err)
	b, _ := pem.Decode(text)
	if b == nil {
		h.t.Fatalf("%s is no PEM file", name)
	}
	return b.Bytes
}

// expired is what shows b's certificate as it will be in a year.
func expired(t *testing.T, a, b *host) *tls.Config {
	t.Helper()
	ca, err := x509.ParseCertificate(a.block("ca.crt"))
	check(t, err)
	caKey, err := x509.ParsePKCS8PrivateKey(a.block("ca.key"))
	check(t, err)
	tmpl, err := x509.ParseCertificate(b.block("node.crt"))
	check(t, err)
	tmpl.SerialNumber = big.NewInt(4242)
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Minute)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, key.Public(), caKey)
	check(t, err)
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// What was good once is refused when its time is over, and written down.
func TestExpiredIsRefused(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	late, expires, err := a.daemon.auth.Token(time.Second)
	check(t, err)
	time.Sleep(time.Until(expires)) // it is what this is about
	_, err = Join(t.Context(), newHost(t, "c").cfg, a.daemon.Self().Address, late.String())
	wantErr(t, err, ErrRefused)
	a.wantAudit("Join", "a stranger", "node c", "refused", "expired")
	client := strangersClient(t, a, expired(t, a, b))
	if _, err := client.StartUserDeputy(t.Context(), startOf(1000)); err == nil {
		t.Error("a deputy was started")
	}
	a.stop() // so that all is written
	a.wantAudit("handshake", "a stranger", "", "refused", "expired")
}

// Who comes without TLS gets nothing, and is written down.
func TestPlainIsRefused(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	for _, c := range []struct{ says, reason string }{
		{"POST /popcorn.node.v1.PeerService/StartUserDeputy HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n" +
			`{"apiVersion":1,"uid":1000}`, "HTTP request"},
		{"popcorn\n" + strings.Repeat("x", 100), "does not look like a TLS handshake"},
	} {
		conn, err := net.Dial("tcp", a.daemon.Self().Address)
		check(t, err)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = io.WriteString(conn, c.says)
		check(t, err)
		answer, _ := io.ReadAll(conn) // the end, or a reset
		conn.Close()
		if strings.Contains(string(answer), "200 OK") {
			t.Errorf("%.20q is answered: %s", c.says, answer)
		}
		a.untilAudited("handshake", c.reason)
	}
	for _, what := range []string{"StartUserDeputy", "deputy started"} {
		if n := len(a.audited(what)); n > 0 {
			t.Errorf("%d times %s", n, what)
		}
	}
}

// A node of the cluster that has no part in a job does not get in with its
// supervisors, however little it cares whom it talks to.
func TestMemberOutsideAJob(t *testing.T) {
	hosts := cluster(t, 2)
	job := [16]byte{1, 2, 3}
	authority, err := wire.NewAuthority(job)
	check(t, err)
	cred, err := authority.Issue(0)
	check(t, err)
	ln, err := wire.Listen("127.0.0.1:0")
	check(t, err)
	defer ln.Close()
	answered := make(chan error, 1)
	go func() {
		c, _, err := ln.Accept(t.Context(), wire.Hello{Job: job, Secret: make([]byte, 32), Credentials: &cred})
		if c != nil {
			c.Close()
		}
		answered <- err
	}()
	cfg := hosts[1].daemon.id.ClientConfig("a")
	cfg.InsecureSkipVerify, cfg.VerifyConnection, cfg.NextProtos = true, nil, []string{"popcorn"}
	raw, err := net.Dial("tcp", ln.Addr())
	check(t, err)
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, cfg)
	if n, err := c.Read(make([]byte, 100)); err == nil || n > 0 {
		t.Errorf("a supervisor said %d bytes, %v", n, err)
	}
	var refused *wire.HandshakeError
	if err := <-answered; !errors.Is(err, wire.ErrCertificate) || !errors.As(err, &refused) || refused.ByPeer {
		t.Errorf("refused with %v", err)
	}
}
