package trust

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	caLife   = 20 * 365 * 24 * time.Hour
	nodeLife = 90 * 24 * time.Hour
	// skew is how far the clocks of two nodes may differ.
	skew = time.Hour
)

// Authority issues certificates and tokens. There is one in a cluster.
type Authority struct {
	dir     Dir
	cert    *x509.Certificate
	key     crypto.Signer
	cluster string
	now     func() time.Time

	mu     sync.Mutex
	ledger ledger
}

// ledger is what an authority has to remember.
type ledger struct {
	Tokens       []issued `json:"tokens"`
	Certificates []signed `json:"certificates"`
}

// signed is a certificate that was issued and has not expired.
type signed struct {
	Serial  string    `json:"serial"`
	Node    string    `json:"node"`
	Expires time.Time `json:"expires"`
	Revoked bool      `json:"revoked"`
}

// Found makes a new cluster in dir, whose first node is called name. Until the
// node's certificate is written, last, there is none.
func Found(dir Dir, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := selfSigned(key, time.Now())
	if err != nil {
		return err
	}
	if err := errors.Join(dir.writeKey(caKeyFile, key), dir.writeCert(caFile, der), dir.WriteJSON(ledgerFile, ledger{})); err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	a, err := OpenAuthority(dir)
	if err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	return a.certifyOwn(name)
}

// selfSigned is the certificate of a new cluster's authority.
func selfSigned(key crypto.Signer, now time.Time) ([]byte, error) {
	var b [8]byte
	rand.Read(b[:])
	cluster := hex.EncodeToString(b[:])
	tmpl := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "popcorn cluster " + cluster},
		URIs:                  []*url.URL{{Scheme: scheme, Host: cluster}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign authority: %w", err)
	}
	return der, nil
}

// certifyOwn gives the founding node key and certificate.
func (a *Authority) certifyOwn(name string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := a.sign(Identity{a.cluster, name, true}, key.Public())
	if err != nil {
		return err
	}
	if err := a.dir.writeKey(keyFile, key); err != nil {
		return err
	}
	return a.dir.writeCert(certFile, der)
}

// OpenAuthority loads the authority kept in dir; ErrNotAuthority without one.
func OpenAuthority(dir Dir) (*Authority, error) {
	a := &Authority{dir: dir, now: time.Now}
	var err error
	if a.key, err = dir.readKey(caKeyFile); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, ErrNotAuthority
		}
		return nil, err
	}
	if a.cert, err = dir.readCert(caFile); err != nil {
		return nil, err
	}
	if a.cluster, err = clusterOf(a.cert); err != nil {
		return nil, err
	}
	// Without its ledger an authority would believe what it has revoked.
	if err := dir.ReadJSON(ledgerFile, &a.ledger); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	return a, nil
}

// update changes the ledger and writes it down before anybody acts on it. What
// change returns is returned after that; the ledger is kept either way.
func (a *Authority) update(change func(*ledger) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	next := ledger{slices.Clone(a.ledger.Tokens), slices.Clone(a.ledger.Certificates)}
	said := change(&next)
	next.Tokens = slices.DeleteFunc(next.Tokens, func(t issued) bool { return now.Sub(t.Expires) > keepTokens })
	next.Certificates = slices.DeleteFunc(next.Certificates, func(c signed) bool { return now.Sub(c.Expires) > skew })
	if err := a.dir.WriteJSON(ledgerFile, next); err != nil {
		return errors.Join(said, err)
	}
	a.ledger = next
	return said
}

// Issue certifies the key of a certificate request for the node called name.
// Whatever else the request asks for is not heard.
func (a *Authority) Issue(name string, csr []byte) ([]byte, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = req.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate request: %w", err)
	}
	return a.sign(Identity{Cluster: a.cluster, Node: name}, req.PublicKey)
}

// sign makes a node's certificate and remembers it.
func (a *Authority) sign(id Identity, key crypto.PublicKey) ([]byte, error) {
	now := a.now()
	tmpl := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: id.Node},
		URIs:                  id.uris(),
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(nodeLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", id.Node, err)
	}
	err = a.update(func(l *ledger) error {
		l.Certificates = append(l.Certificates, signed{serialText(tmpl.SerialNumber), id.Node, tmpl.NotAfter, false})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", id.Node, err)
	}
	return der, nil
}

// Revoke ends the validity of every certificate of a node.
func (a *Authority) Revoke(name string) error {
	err := a.update(func(l *ledger) error {
		for i := range l.Certificates {
			if l.Certificates[i].Node == name {
				l.Certificates[i].Revoked = true
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("revoke certificates of %s: %w", name, err)
	}
	return nil
}

// Revoked lists the serial numbers of certificates that would be good but for
// being revoked.
func (a *Authority) Revoked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, c := range a.ledger.Certificates {
		if c.Revoked {
			out = append(out, c.Serial)
		}
	}
	return out
}
