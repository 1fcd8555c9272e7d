package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

// Kind says what is signed, so that a signature of one thing is none of another.
type Kind string

// What is signed.
const (
	Rosters    Kind = "roster"    // by the authority
	Statements Kind = "statement" // by a node, of itself
)

// digest is what is signed of text. It begins with a word, where a certificate
// begins with 0x30: no signature of the authority's is of both.
func (k Kind) digest(cluster string, text []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "popcorn %s of %s\x00", k, cluster)
	h.Write(text)
	return h.Sum(nil)
}

// Sign signs text as the authority.
func (a *Authority) Sign(k Kind, text []byte) ([]byte, error) {
	sig, err := a.key.Sign(rand.Reader, k.digest(a.cluster, text), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", k, err)
	}
	return sig, nil
}

// Sign signs text as this node. The certificate, DER, belongs to the signature.
func (n *Node) Sign(k Kind, text []byte) (sig, cert []byte, err error) {
	sig, err = n.key.Sign(rand.Reader, k.digest(n.id.Cluster, text), crypto.SHA256)
	if err != nil {
		return nil, nil, fmt.Errorf("sign %s: %w", k, err)
	}
	return sig, n.cert.Load().Leaf.Raw, nil
}

// VerifyAuthority returns nil when the cluster's authority has signed text.
func (n *Node) VerifyAuthority(k Kind, text, sig []byte) error {
	return n.verifySignature(k, n.ca, text, sig)
}

// VerifySigned tells which node has signed text, if that node is believed now.
func (n *Node) VerifySigned(k Kind, text, sig, cert []byte) (Identity, error) {
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return Identity{}, fmt.Errorf("verify %s: %w: %w", k, ErrUntrusted, err)
	}
	id, err := n.VerifyClient([]*x509.Certificate{leaf})
	if err != nil {
		return id, fmt.Errorf("verify %s: %w", k, err)
	}
	return id, n.verifySignature(k, leaf, text, sig)
}

func (n *Node) verifySignature(k Kind, by *x509.Certificate, text, sig []byte) error {
	key, ok := by.PublicKey.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, k.digest(n.id.Cluster, text), sig) {
		return fmt.Errorf("verify %s: the signature is not that of %s: %w", k, by.Subject.CommonName, ErrUntrusted)
	}
	return nil
}
