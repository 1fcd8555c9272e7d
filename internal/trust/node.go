package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Node is a node's own identity and its judgement of others.
type Node struct {
	dir  Dir
	id   Identity
	ca   *x509.Certificate
	key  crypto.Signer
	cert atomic.Pointer[tls.Certificate] // a renewed one takes the place of the old
	now  func() time.Time

	revoked  atomic.Pointer[[]string] // sorted
	revision atomic.Uint64            // of revoked
}

// Load reads a node's identity; ErrNoIdentity when dir has none.
func Load(dir Dir) (*Node, error) {
	leaf, err := dir.readCert(certFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, err
	}
	n := &Node{dir: dir, now: time.Now}
	if n.ca, err = dir.readCert(caFile); err != nil {
		return nil, err
	}
	if n.key, err = dir.readKey(keyFile); err != nil {
		return nil, err
	}
	var revoked []string
	if err := dir.ReadJSON(revokedFile, &revoked); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	n.revoked.Store(&revoked)
	if n.id, err = identityOf(leaf); err != nil {
		return nil, err
	}
	return n, n.take(leaf)
}

// take makes leaf the certificate shown from now on.
func (n *Node) take(leaf *x509.Certificate) error {
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(n.key.Public()) {
		return errors.New("read certificate: it is not of this node's key")
	}
	// The authority's goes along: a joining node knows only its fingerprint.
	n.cert.Store(&tls.Certificate{Certificate: [][]byte{leaf.Raw, n.ca.Raw}, PrivateKey: n.key, Leaf: leaf})
	return nil
}

// Identity is who this node is.
func (n *Node) Identity() Identity { return n.id }

// Expires is when this node's certificate does.
func (n *Node) Expires() time.Time { return n.cert.Load().Leaf.NotAfter }

// Serial is the number of this node's certificate.
func (n *Node) Serial() string { return serialText(n.cert.Load().Leaf.SerialNumber) }

// RenewAt is when to ask for another certificate: early enough to try for weeks.
func (n *Node) RenewAt() time.Time { return n.Expires().Add(-nodeLife / 3) }

// Request is a certificate request for the node's key. Renewal keeps the key,
// so that key and certificate, two files, never disagree.
func (n *Node) Request() ([]byte, error) { return request(n.key) }

func request(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// Renew takes a new certificate for itself in use, without a restart.
func (n *Node) Renew(der []byte) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	id, err := n.verify([]*x509.Certificate{leaf}, x509.ExtKeyUsageServerAuth)
	if err == nil && id != n.id {
		err = ErrOtherNode
	}
	if err == nil {
		err = n.dir.writeCert(certFile, der)
	}
	if err == nil {
		err = n.take(leaf)
	}
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	return nil
}

// RenewBy renews the founding node's certificate, which has nobody else to ask.
func (n *Node) RenewBy(a *Authority) error {
	der, err := a.sign(n.id, n.key.Public())
	if err != nil {
		return err
	}
	return n.Renew(der)
}

// SetRevoked replaces the list of certificates not to be believed.
func (n *Node) SetRevoked(serials []string) error {
	serials = slices.Sorted(slices.Values(serials))
	if slices.Equal(serials, *n.revoked.Load()) {
		return nil
	}
	n.revoked.Store(&serials)
	n.revision.Add(1)
	return n.dir.WriteJSON(revokedFile, serials)
}

// Revision changes whenever the list of certificates not to be believed does.
func (n *Node) Revision() uint64 { return n.revision.Load() }

// VerifyClient tells who a client is whose certificates came in a handshake. It
// is to be asked for every request too: connections outlive certificates.
func (n *Node) VerifyClient(certs []*x509.Certificate) (Identity, error) {
	return n.verify(certs, x509.ExtKeyUsageClientAuth)
}

func (n *Node) verify(certs []*x509.Certificate, usage x509.ExtKeyUsage) (Identity, error) {
	id, err := verifyChain(certs, n.ca, usage, n.now())
	if err != nil {
		return id, err
	}
	if _, found := slices.BinarySearch(*n.revoked.Load(), serialText(certs[0].SerialNumber)); found {
		return id, fmt.Errorf("verify certificate of %s: %w", id.Node, ErrRevoked)
	}
	return id, nil
}

// verifyChain checks that ca issued the first certificate for one of the nodes
// of its cluster.
func verifyChain(certs []*x509.Certificate, ca *x509.Certificate, usage x509.ExtKeyUsage, now time.Time) (Identity, error) {
	if len(certs) == 0 {
		return Identity{}, fmt.Errorf("verify certificate: there is none: %w", ErrUntrusted)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return Identity{}, fmt.Errorf("verify certificate of %s: %w", certs[0].Subject.CommonName, ErrExpired)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("verify certificate: %w: %w", ErrUntrusted, err)
	}
	id, err := identityOf(certs[0])
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if cluster, err := clusterOf(ca); err != nil || id.Cluster != cluster {
		return id, fmt.Errorf("verify certificate of %s: %w", id.Node, ErrUntrusted)
	}
	return id, nil
}
