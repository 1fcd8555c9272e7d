package trust

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// base is what all ends agree on. Resumption would skip the judgement of a
// certificate that was revoked meanwhile.
func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// ServerConfig is for a listener. It lets in a client without a certificate,
// who may join and nothing else: the server must ask VerifyClient.
func (n *Node) ServerConfig() *tls.Config {
	c := base()
	c.ClientAuth = tls.RequestClientCert
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.cert.Load(), nil }
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return nil
		}
		_, err := n.VerifyClient(s.PeerCertificates)
		return err
	}
	return c
}

// ClientConfig is for calling the node called name; with an empty name, the
// one that holds the authority.
func (n *Node) ClientConfig(name string) *tls.Config {
	c := base()
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return n.cert.Load(), nil }
	c.InsecureSkipVerify = true // of host names; VerifyConnection does the rest
	c.VerifyConnection = func(s tls.ConnectionState) error {
		id, err := n.verify(s.PeerCertificates, x509.ExtKeyUsageServerAuth)
		if err != nil {
			return err
		}
		if name == "" && !id.Authority || name != "" && id.Node != name {
			return fmt.Errorf("verify certificate: %w: %s", ErrOtherNode, id.Node)
		}
		return nil
	}
	return c
}

// Joiner is a node that has a token and wants a certificate.
type Joiner struct {
	token Token
	key   crypto.Signer
	ca    *x509.Certificate // known once it has shown the right fingerprint
	now   func() time.Time
}

// NewJoiner makes the new node's key.
func NewJoiner(t Token) (*Joiner, error) {
	key, err := newKey()
	return &Joiner{token: t, key: key, now: time.Now}, err
}

// Request is a certificate request for the new node's key.
func (j *Joiner) Request() ([]byte, error) { return request(j.key) }

// ClientConfig is for calling the authority. The handshake fails, and so no
// secret is told, unless the other end proves to be the one the token names.
func (j *Joiner) ClientConfig() *tls.Config {
	c := base()
	c.InsecureSkipVerify = true // nothing is known yet but a fingerprint
	c.VerifyConnection = func(s tls.ConnectionState) error { return j.meet(s.PeerCertificates) }
	return c
}

func (j *Joiner) meet(certs []*x509.Certificate) error {
	for _, ca := range certs {
		if sha256.Sum256(ca.Raw) != j.token.CA {
			continue
		}
		id, err := verifyChain(certs, ca, x509.ExtKeyUsageServerAuth, j.now())
		if err != nil {
			return err
		}
		if !id.Authority {
			return fmt.Errorf("%w: %s is a member only; join at the node that made the token", ErrFingerprint, id.Node)
		}
		j.ca = ca
		return nil
	}
	return ErrFingerprint
}

// Save writes the identity of the new node called name into dir, the
// certificate last: until then there is none.
func (j *Joiner) Save(dir Dir, name string, der []byte) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	id, err := verifyChain([]*x509.Certificate{leaf}, j.ca, x509.ExtKeyUsageClientAuth, j.now())
	if err != nil {
		return err
	}
	if id.Node != name {
		return fmt.Errorf("read certificate: %w: %s", ErrOtherNode, id.Node)
	}
	n := &Node{ca: j.ca, key: j.key}
	if err := n.take(leaf); err != nil {
		return err
	}
	err = errors.Join(dir.writeCert(caFile, j.ca.Raw), dir.writeKey(keyFile, j.key), dir.WriteJSON(revokedFile, []string{}))
	if err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	return dir.writeCert(certFile, der)
}
