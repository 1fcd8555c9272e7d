package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// alpn is the protocol inside: no other server with a certificate of the
// authority takes part by mistake.
const alpn = "popcorn"

// config is the TLS of me's side: 1.3 only, both ends by a certificate of the
// job's authority, no resumption, and records as large as they get.
func config(me Hello) (*tls.Config, error) {
	ca, err := x509.ParseCertificate(me.Credentials.Authority)
	if err != nil {
		return nil, fmt.Errorf("read credentials: authority: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(me.Credentials.Key)
	if err != nil {
		return nil, fmt.Errorf("read credentials: key: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{{Certificate: [][]byte{me.Credentials.Certificate}, PrivateKey: key}},
		RootCAs:                     pool,
		ServerName:                  certName,
		ClientCAs:                   pool,
		ClientAuth:                  tls.RequireAndVerifyClientCert,
		NextProtos:                  []string{alpn},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := certified(s, me.Job)
			return err
		},
	}, nil
}

// certified is the node number in the peer's certificate, whose chain
// crypto/tls has verified.
func certified(s tls.ConnectionState, want [16]byte) (uint16, error) {
	if s.NegotiatedProtocol != alpn {
		return 0, &HandshakeError{Reason: NotPopcorn, Ours: Version}
	}
	job, node, err := identified(s.PeerCertificates[0])
	if err != nil {
		return 0, &HandshakeError{Reason: BadCertificate, Ours: Version, Cause: err}
	}
	if job != want {
		return 0, &HandshakeError{Reason: WrongJob, Ours: Version}
	}
	return node, nil
}

// encrypt runs the handshake of TLS over tcp.
func encrypt(tcp net.Conn, me Hello, role byte) (*tlsStream, error) {
	cfg, err := config(me)
	if err != nil {
		return nil, err
	}
	s := newTLSStream(tcp, cfg, role)
	if err := s.tls.Handshake(); err != nil {
		return nil, rejectTLS(tcp, role, err)
	}
	return s, nil
}

// rejectTLS ends a connection whose TLS handshake failed. A supervisor that
// came without TLS is told so in words.
func rejectTLS(tcp net.Conn, role byte, err error) error {
	err = tlsRefusal(err)
	if he, ok := err.(*HandshakeError); ok && he.Reason == OneSided {
		if role == roleAnswer {
			return refuse(tcp, Hello{}, err)
		}
		he.ByPeer = true // it has answered us with a refusal
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		linger(tcp) // or the alert that says why is lost
	}
	return err
}

// tlsRefusal says in our terms what err of crypto/tls means, where it can.
func tlsRefusal(err error) error {
	var ours *HandshakeError
	var record tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &record) && strings.HasPrefix(magic, string(record.RecordHeader[:])):
		return &HandshakeError{Reason: OneSided, Ours: Version}
	case errors.As(err, &record):
		return &HandshakeError{Reason: NotPopcorn, Ours: Version}
	case errors.As(err, &untrusted):
		return &HandshakeError{Reason: BadCertificate, Ours: Version, Cause: untrusted.Err}
	case isAlert(err, remoteAlert) && strings.Contains(err.Error(), "certificate"):
		return &HandshakeError{Reason: BadCertificate, ByPeer: true, Ours: Version, Cause: err}
	}
	return fmt.Errorf("encrypt: %w", err)
}

// How crypto/tls tells who ended a connection; its alerts have no public type.
const (
	remoteAlert = "remote error"
	localAlert  = "local error"
)

func isAlert(err error, op string) bool {
	var oe *net.OpError
	return errors.As(err, &oe) && oe.Op == op
}
