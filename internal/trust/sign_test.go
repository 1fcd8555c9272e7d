package trust

import (
	"crypto/x509"
	"testing"
	"time"
)

// A signature holds for its text, kind, cluster and signer, and while that one is
// believed.
func TestSignatures(t *testing.T) {
	c, other := found(t, "a"), found(t, "a")
	b := c.member(t, "b")
	text := []byte("who is in")

	sig, err := c.auth.Sign(Rosters, text)
	check(t, err)
	check(t, b.VerifyAuthority(Rosters, text, sig))
	wantErr(t, b.VerifyAuthority(Statements, text, sig), ErrUntrusted)
	wantErr(t, b.VerifyAuthority(Rosters, []byte("who is out"), sig), ErrUntrusted)
	wantErr(t, other.node.VerifyAuthority(Rosters, text, sig), ErrUntrusted)

	sig, cert, err := b.Sign(Statements, text)
	check(t, err)
	wantErr(t, c.node.VerifyAuthority(Statements, text, sig), ErrUntrusted)
	id, err := c.node.VerifySigned(Statements, text, sig, cert)
	check(t, err)
	if id.Node != "b" || id.Authority {
		t.Errorf("signed by %+v", id)
	}
	_, err = other.node.VerifySigned(Statements, text, sig, cert)
	wantErr(t, err, ErrUntrusted)
	_, own, err := c.node.Sign(Statements, text)
	check(t, err)
	_, err = c.node.VerifySigned(Statements, text, sig, own)
	wantErr(t, err, ErrUntrusted)
	_, err = c.node.VerifySigned(Statements, text, sig, []byte("no certificate"))
	wantErr(t, err, ErrUntrusted)

	before := c.node.Revision()
	leaf, err := x509.ParseCertificate(cert)
	check(t, err)
	check(t, c.node.SetRevoked([]string{serialText(leaf.SerialNumber)}))
	_, err = c.node.VerifySigned(Statements, text, sig, cert)
	wantErr(t, err, ErrRevoked)
	if c.node.Revision() == before {
		t.Error("nobody notices that certificates were revoked")
	}
	check(t, c.node.SetRevoked(nil))
	c.node.now = func() time.Time { return time.Now().Add(2 * nodeLife) }
	_, err = c.node.VerifySigned(Statements, text, sig, cert)
	wantErr(t, err, ErrExpired)
}
