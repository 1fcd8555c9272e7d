package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// cluster is an authority and the node beside it.
type cluster struct {
	dir  Dir
	auth *Authority
	node *Node
}

func found(t *testing.T, name string) cluster {
	t.Helper()
	dir, err := OpenDir(t.TempDir())
	check(t, err)
	check(t, Found(dir, name))
	a, err := OpenAuthority(dir)
	check(t, err)
	n, err := Load(dir)
	check(t, err)
	return cluster{dir, a, n}
}

// member lets a node called name join c, over TLS as far as there is any.
func (c cluster) member(t *testing.T, name string) *Node {
	t.Helper()
	tok, _, err := c.auth.Token(time.Minute)
	check(t, err)
	j, err := NewJoiner(tok)
	check(t, err)
	clientErr, serverErr := shake(t, j.ClientConfig(), c.node.ServerConfig())
	check(t, errors.Join(clientErr, serverErr))
	check(t, c.auth.Redeem(tok.ID[:], tok.Secret[:]))
	csr, err := j.Request()
	check(t, err)
	der, err := c.auth.Issue(name, csr)
	check(t, err)
	dir, err := OpenDir(t.TempDir())
	check(t, err)
	check(t, j.Save(dir, name, der))
	n, err := Load(dir)
	check(t, err)
	return n
}

// shake makes one connection and a round trip over it; in TLS 1.3 a client
// hears of its refusal only when it reads.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			s := tls.Server(c, server)
			if err = s.Handshake(); err == nil {
				_, err = s.Write([]byte{1})
			}
			s.Close()
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	check(t, err)
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(raw, client)
	_, clientErr = c.Read(make([]byte, 1))
	c.Close()
	return clientErr, <-done
}

func TestMembersBelieveEachOther(t *testing.T) {
	c := found(t, "first")
	second, third := c.member(t, "second"), c.member(t, "third")
	for name, pair := range map[string][2]*tls.Config{
		"member to member":    {third.ClientConfig("second"), second.ServerConfig()},
		"member to founder":   {third.ClientConfig("first"), c.node.ServerConfig()},
		"member to authority": {third.ClientConfig(""), c.node.ServerConfig()},
		"founder to member":   {c.node.ClientConfig("third"), third.ServerConfig()},
	} {
		clientErr, serverErr := shake(t, pair[0], pair[1])
		if clientErr != nil || serverErr != nil {
			t.Errorf("%s: client %v, server %v", name, clientErr, serverErr)
		}
	}
	if id := third.Identity(); id.Node != "third" || id.Authority || id.Cluster != c.node.Identity().Cluster {
		t.Errorf("third is %+v", id)
	}
}

func TestWrongNode(t *testing.T) {
	c := found(t, "first")
	second := c.member(t, "second")
	clientErr, _ := shake(t, c.node.ClientConfig("third"), second.ServerConfig())
	wantErr(t, clientErr, ErrOtherNode)
	clientErr, _ = shake(t, c.node.ClientConfig(""), second.ServerConfig())
	wantErr(t, clientErr, ErrOtherNode)
}

func TestOtherClusterIsRefused(t *testing.T) {
	ours, theirs := found(t, "first"), found(t, "first")
	clientErr, _ := shake(t, ours.node.ClientConfig("first"), theirs.node.ServerConfig())
	wantErr(t, clientErr, ErrUntrusted)
	lax := theirs.node.ClientConfig("first")
	lax.VerifyConnection = nil
	clientErr, serverErr := shake(t, lax, ours.node.ServerConfig())
	wantErr(t, serverErr, ErrUntrusted)
	if clientErr == nil {
		t.Error("client of another cluster was served")
	}
}

func TestExpiredIsRefused(t *testing.T) {
	c := found(t, "first")
	second := c.member(t, "second")
	later := func() time.Time { return time.Now().Add(nodeLife + time.Minute) }
	c.node.now = later
	_, serverErr := shake(t, second.ClientConfig("first"), c.node.ServerConfig())
	wantErr(t, serverErr, ErrExpired)
	clientErr, _ := shake(t, c.node.ClientConfig("second"), second.ServerConfig())
	wantErr(t, clientErr, ErrExpired)
	c.node.now = func() time.Time { return time.Now().Add(-skew - time.Minute) }
	_, serverErr = shake(t, second.ClientConfig("first"), c.node.ServerConfig())
	wantErr(t, serverErr, ErrExpired)
	c.node.now = func() time.Time { return time.Now().Add(-skew + time.Minute) } // a clock that is late
	clientErr, serverErr = shake(t, second.ClientConfig("first"), c.node.ServerConfig())
	check(t, errors.Join(clientErr, serverErr))
}

func TestRevokedIsRefused(t *testing.T) {
	c := found(t, "first")
	second, third := c.member(t, "second"), c.member(t, "third")
	check(t, c.auth.Revoke("second"))
	check(t, third.SetRevoked(c.auth.Revoked()))
	_, serverErr := shake(t, second.ClientConfig("third"), third.ServerConfig())
	wantErr(t, serverErr, ErrRevoked)
	clientErr, _ := shake(t, third.ClientConfig("second"), second.ServerConfig())
	wantErr(t, clientErr, ErrRevoked)

	again, err := OpenAuthority(c.dir) // and it is remembered on both sides
	check(t, err)
	if got := again.Revoked(); len(got) != 1 {
		t.Errorf("revoked after restart: %q", got)
	}
	loaded, err := Load(third.dir)
	check(t, err)
	_, err = loaded.VerifyClient([]*x509.Certificate{second.cert.Load().Leaf})
	wantErr(t, err, ErrRevoked)
	check(t, third.SetRevoked(again.Revoked()))
	back := c.member(t, "second") // under the same name, with another certificate
	clientErr, serverErr = shake(t, back.ClientConfig("third"), third.ServerConfig())
	check(t, errors.Join(clientErr, serverErr))
}

func TestOlderTLSIsRefused(t *testing.T) {
	c := found(t, "first")
	second := c.member(t, "second")
	old := second.ClientConfig("first")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if clientErr, serverErr := shake(t, old, c.node.ServerConfig()); clientErr == nil || serverErr == nil {
		t.Errorf("TLS 1.2 client: %v, %v", clientErr, serverErr)
	}
	server := c.node.ServerConfig()
	server.MinVersion, server.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if clientErr, _ := shake(t, second.ClientConfig("first"), server); clientErr == nil {
		t.Error("TLS 1.2 server was believed")
	}
}

func TestJoinerWantsItsAuthority(t *testing.T) {
	ours, theirs := found(t, "first"), found(t, "first")
	tok, _, err := ours.auth.Token(time.Minute)
	check(t, err)
	j, err := NewJoiner(tok)
	check(t, err)
	clientErr, _ := shake(t, j.ClientConfig(), theirs.node.ServerConfig())
	wantErr(t, clientErr, ErrFingerprint)

	// A member shows the right authority, but is not it.
	clientErr, _ = shake(t, j.ClientConfig(), ours.member(t, "second").ServerConfig())
	wantErr(t, clientErr, ErrFingerprint)

	// Somebody shows our authority's certificate beside one of its own.
	forged := *theirs.node.cert.Load()
	forged.Certificate = [][]byte{forged.Certificate[0], ours.auth.cert.Raw}
	server := base()
	server.Certificates = []tls.Certificate{forged}
	clientErr, _ = shake(t, j.ClientConfig(), server)
	wantErr(t, clientErr, ErrUntrusted)
}

func TestRenewal(t *testing.T) {
	c := found(t, "first")
	second := c.member(t, "second")
	before := second.Expires()
	c.auth.now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	second.now, c.node.now = c.auth.now, c.auth.now
	csr, err := second.Request()
	check(t, err)
	server := second.ServerConfig() // in use already
	der, err := c.auth.Issue("second", csr)
	check(t, err)
	check(t, second.Renew(der))
	check(t, c.node.RenewBy(c.auth))
	if !second.Expires().After(before) || !c.node.Identity().Authority {
		t.Error("nothing renewed")
	}
	clientErr, serverErr := shake(t, c.node.ClientConfig("second"), server)
	check(t, errors.Join(clientErr, serverErr))

	wrong, err := c.auth.Issue("third", csr)
	check(t, err)
	wantErr(t, second.Renew(wrong), ErrOtherNode)
	again, err := Load(second.dir)
	check(t, err)
	if !again.Expires().Equal(second.Expires()) {
		t.Error("the renewed certificate was not kept")
	}
}

func TestTokens(t *testing.T) {
	c := found(t, "first")
	redeem := func(tok Token) error { return c.auth.Redeem(tok.ID[:], tok.Secret[:]) }
	good, expires, err := c.auth.Token(time.Minute)
	check(t, err)
	if left := time.Until(expires); left > time.Minute || left < 50*time.Second {
		t.Errorf("expires in %v", left)
	}
	forged := good
	forged.Secret[3] ^= 1
	wantErr(t, redeem(forged), ErrTokenUnknown)
	check(t, redeem(good))
	wantErr(t, redeem(good), ErrTokenUsed)
	again, err := OpenAuthority(c.dir) // a restart makes no token new
	check(t, err)
	wantErr(t, again.Redeem(good.ID[:], good.Secret[:]), ErrTokenUsed)

	late, _, err := c.auth.Token(time.Minute)
	check(t, err)
	c.auth.now = func() time.Time { return time.Now().Add(time.Minute) }
	wantErr(t, redeem(late), ErrTokenExpired)
	c.auth.now = func() time.Time { return time.Now().Add(keepTokens + time.Hour) }
	wantErr(t, redeem(Token{}), ErrTokenUnknown)
	wantErr(t, redeem(good), ErrTokenUnknown) // forgotten by now
	if _, _, err := c.auth.Token(48 * time.Hour); err == nil {
		t.Error("a token for two days")
	}
	if text, err := c.dir.Read(ledgerFile); err != nil || strings.Contains(string(text), string(good.Secret[:])) {
		t.Errorf("the secret is written down: %v", err)
	}
}

func TestTokenText(t *testing.T) {
	c := found(t, "first")
	tok, _, err := c.auth.Token(time.Minute)
	check(t, err)
	got, err := ParseToken(tok.String())
	if err != nil || got != tok {
		t.Errorf("%v came back as %v, %v", tok, got, err)
	}
	for _, bad := range []string{"", "popcorn1.", "popcorn2." + tok.String()[9:], tok.String() + "A", tok.String()[:80], tok.String() + "\n"} {
		_, err := ParseToken(bad)
		wantErr(t, err, ErrTokenForm)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(Token{}.String())
	f.Add("popcorn1.AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err == nil && tok.String() != s {
			t.Errorf("%q was read as %q", s, tok)
		}
		if err != nil && !errors.Is(err, ErrTokenForm) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func TestFiles(t *testing.T) {
	c := found(t, "first")
	second := c.member(t, "second")
	for _, d := range []Dir{c.dir, second.dir} {
		files, err := os.ReadDir(string(d))
		check(t, err)
		for _, f := range files {
			fi, err := f.Info()
			check(t, err)
			if fi.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", f.Name(), fi.Mode())
			}
		}
	}
	_, err := OpenAuthority(second.dir)
	wantErr(t, err, ErrNotAuthority)
	check(t, second.dir.Forget())
	_, err = Load(second.dir)
	wantErr(t, err, ErrNoIdentity)
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "host-7", "db.example.com", "Node_x"} {
		check(t, CheckName(good))
	}
	for _, bad := range []string{"", "7", "node3", "home", "all", "-a", "a-", "a/b", "a b", "a:1", "ä", strings.Repeat("a", 64)} {
		if CheckName(bad) == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}
