package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Version is the protocol both ends must speak.
const Version = 3

// Sizes of what the handshake exchanges. The first helloSize bytes of a
// connection keep their meaning in every version, so that any two can at least
// refuse each other in words.
const (
	helloSize = 64
	proofSize = sha256.Size
	nonceSize = 24
)

// magic begins a hello.
const magic = "popcorn\n"

// clientHello begins what a supervisor with credentials says first: the type
// and the major version of a TLS record.
var clientHello = [2]byte{22, 3}

// Roles, part of the hello and of the proof: an answer is never a valid
// question, so nothing an end said can be sent back to it.
const (
	roleDial   = 'D'
	roleAnswer = 'A'
)

// Hello is who a node says it is.
type Hello struct {
	Job    [16]byte // the job's id
	Node   uint16   // the node's number
	Lane   uint16   // which of the connections between two nodes; the dialer says, the answerer repeats
	Secret []byte   // proves membership of the job; never sent, empty in what is received

	// Credentials, unless nil, have the connection encrypted; the peer must
	// have some of the same authority. Never sent, nil in what is received.
	Credentials *Credentials

	peer *uint16 // the number in the peer's certificate, if there is one
}

// Reason is why a handshake was refused.
type Reason uint8

// The reasons. The numbers are sent, so they do not change.
const (
	Accepted       Reason = iota
	NotPopcorn            // the other end speaks another protocol
	BadVersion            // another version of this one
	WrongJob              // another job
	WrongSecret           // the same job id without its secret
	SameNode              // the other end claims our own number
	WrongNode             // the other end claims a number that is not the one in its certificate
	OneSided              // one end has credentials for TLS, the other has none
	BadCertificate        // of another authority, out of date, or not a node's; not sent in a hello
	NoSession             // there is none of that id between these two, or it does not go on there; not sent in a hello
	reasonEnd
)

// What a *HandshakeError unwraps to, for errors.Is.
var (
	ErrNotPopcorn = errors.New("not a popcorn supervisor")
	ErrVersion    = errors.New("protocol versions differ")
	ErrJob        = errors.New("another job")
	ErrSecret     = errors.New("wrong secret")
	ErrSameNode   = errors.New("same node number")
	ErrWrongNode  = errors.New("the certificate names another node")
	ErrOneSided   = errors.New("one end has credentials for TLS, the other has none")
	// ErrCertificate comes with what package x509 says.
	ErrCertificate = errors.New("certificate not trusted")
	ErrSession     = errors.New("no such session")
)

var reasonErrors = [reasonEnd]error{nil, ErrNotPopcorn, ErrVersion, ErrJob, ErrSecret, ErrSameNode,
	ErrWrongNode, ErrOneSided, ErrCertificate, ErrSession}

// HandshakeError is a refusal.
type HandshakeError struct {
	Reason Reason
	ByPeer bool   // the other end refused us; otherwise we refused it
	Ours   uint16 // protocol versions; Theirs is 0 when not known
	Theirs uint16
	Cause  error // what was found out, may be nil
}

func (e *HandshakeError) Error() string {
	var b strings.Builder
	if e.ByPeer {
		b.WriteString("refused by the peer: ")
	}
	fmt.Fprintf(&b, "%v", e.sentinel())
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Reason == BadVersion {
		fmt.Fprintf(&b, ": ours %d, theirs %d; install the same version of popcorn on both", e.Ours, e.Theirs)
	}
	return b.String()
}

// Unwrap is the sentinel of e's reason, and the cause if there is one.
func (e *HandshakeError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.sentinel()}
	}
	return []error{e.sentinel(), e.Cause}
}

func (e *HandshakeError) sentinel() error {
	if e.Reason == Accepted || e.Reason >= reasonEnd {
		return fmt.Errorf("reason %d", e.Reason)
	}
	return reasonErrors[e.Reason]
}

// helloBytes is a hello on the wire: magic 8, version 2, role 1, reason 1,
// node 2, lane 2, job 16, nonce 24, zeros up to helloSize.
type helloBytes [helloSize]byte

func makeHello(h Hello, role byte, reason Reason, nonce [nonceSize]byte) helloBytes {
	var b helloBytes
	copy(b[:], magic)
	binary.LittleEndian.PutUint16(b[8:], Version)
	b[10] = role
	b[11] = byte(reason)
	binary.LittleEndian.PutUint16(b[12:], h.Node)
	binary.LittleEndian.PutUint16(b[14:], h.Lane)
	copy(b[16:], h.Job[:])
	copy(b[32:], nonce[:])
	return b
}

// parse reads what the peer says and refuses what is not a hello of our
// version in the given role.
func (b *helloBytes) parse(role byte) (Hello, Reason, error) {
	version := binary.LittleEndian.Uint16(b[8:])
	if [2]byte(b[:2]) == clientHello {
		return Hello{}, 0, &HandshakeError{Reason: OneSided, Ours: Version}
	}
	if string(b[:8]) != magic {
		return Hello{}, 0, &HandshakeError{Reason: NotPopcorn, Ours: Version}
	}
	if version != Version {
		return Hello{}, 0, &HandshakeError{Reason: BadVersion, Ours: Version, Theirs: version}
	}
	if b[10] != role || b[11] >= byte(reasonEnd) {
		return Hello{}, 0, &HandshakeError{Reason: NotPopcorn, Ours: Version, Theirs: version}
	}
	h := Hello{
		Node: binary.LittleEndian.Uint16(b[12:]),
		Lane: binary.LittleEndian.Uint16(b[14:]),
		Job:  [16]byte(b[16:32]),
	}
	return h, Reason(b[11]), nil
}

// proof shows knowledge of the secret to someone who has it: both hellos, with
// both nonces, are under it, so it is good for this one conversation.
func proof(secret []byte, role byte, dial, answer *helloBytes) [proofSize]byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte{role})
	m.Write(dial[:])
	m.Write(answer[:])
	return [proofSize]byte(m.Sum(nil))
}
