package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// authorityLife bounds what a stolen key is good for. It counts when nodes
	// meet, not afterwards: a job may last longer.
	authorityLife = 90 * 24 * time.Hour
	// clockSkew is how far behind a node's clock may be.
	clockSkew = 24 * time.Hour
	// certName is the host name in every certificate: crypto/tls wants one to
	// compare, and where a node runs is nobody's business here.
	certName = "supervisor.popcorn"
)

// Authority vouches for the nodes of one job. Who starts the job makes it, and
// its key never leaves that process: it has no encoding.
type Authority struct {
	job  [16]byte
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// Credentials are what one node proves itself with, to be given to its
// supervisor over a private channel. They are good for JSON.
type Credentials struct {
	Certificate []byte // DER, names the job and the node
	Key         []byte // PKCS #8
	Authority   []byte // DER, the job's authority
}

// String keeps the key out of messages.
func (c Credentials) String() string {
	return fmt.Sprintf("credentials, certificate of %d bytes", len(c.Certificate))
}

// NewAuthority makes the authority of a job.
func NewAuthority(job [16]byte) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of authority: %w", err)
	}
	t := template("popcorn job " + hex.EncodeToString(job[:]))
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate of authority: %w", err)
	}
	return &Authority{job, key, cert}, nil
}

// Issue makes a key and a certificate for a node.
func (a *Authority) Issue(node uint16) (Credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credentials{}, fmt.Errorf("make key of node: %w", err)
	}
	t := template("popcorn node " + strconv.Itoa(int(node)))
	t.DNSNames = []string{certName}
	t.URIs = []*url.URL{identity(a.job, node)}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return Credentials{}, fmt.Errorf("make certificate of node: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Credentials{}, fmt.Errorf("encode key of node: %w", err)
	}
	return Credentials{Certificate: der, Key: pkcs8, Authority: a.cert.Raw}, nil
}

// template is what both kinds of certificates have in common.
func template(name string) *x509.Certificate {
	var serial [16]byte
	rand.Read(serial[:])           // never fails, see its documentation
	serial[0] = serial[0]&0x7f | 1 // positive, not zero
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(authorityLife),
	}
}

// identity is how a certificate names a node: popcorn://job/HEX/node/N.
func identity(job [16]byte, node uint16) *url.URL {
	return &url.URL{Scheme: "popcorn", Host: "job", Path: fmt.Sprintf("/%x/node/%d", job, node)}
}

// identified reads the identity in a certificate, in the one spelling of Issue.
func identified(cert *x509.Certificate) (job [16]byte, node uint16, err error) {
	if len(cert.URIs) != 1 {
		return job, 0, fmt.Errorf("read identity: %d names in the certificate", len(cert.URIs))
	}
	u := cert.URIs[0]
	parts := strings.Split(u.Path, "/")
	if len(parts) != 4 {
		return job, 0, fmt.Errorf("read identity: %v", u)
	}
	id, _ := hex.DecodeString(parts[1])
	copy(job[:], id)
	n, err := strconv.ParseUint(parts[3], 10, 16)
	if err != nil || identity(job, uint16(n)).String() != u.String() {
		return job, 0, fmt.Errorf("read identity: %v", u)
	}
	return job, uint16(n), nil
}
