package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

const (
	pemCert = "CERTIFICATE"
	pemKey  = "PRIVATE KEY"
)

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// newSerial is random, as RFC 5280 wants at most 20 octets and positive.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// serialText is how a serial number is written in files and messages.
func serialText(n *big.Int) string { return n.Text(16) }

func (d Dir) writeKey(name string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return d.Write(name, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}))
}

func (d Dir) readKey(name string) (crypto.Signer, error) {
	der, err := d.readPEM(name, pemKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read %s: a %T does not sign", d.Path(name), key)
	}
	return signer, nil
}

func (d Dir) writeCert(name string, der []byte) error {
	return d.Write(name, pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der}))
}

func (d Dir) readCert(name string) (*x509.Certificate, error) {
	der, err := d.readPEM(name, pemCert)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	return cert, nil
}

func (d Dir) readPEM(name, kind string) ([]byte, error) {
	text, err := d.Read(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("read %s: %w", d.Path(name), errors.New("no "+kind+" in it"))
	}
	return block.Bytes, nil
}
