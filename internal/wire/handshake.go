package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"time"
)

// The handshake, four messages, before the event loop takes the descriptor:
//
//	dialer   -> hello                 who I am, a nonce
//	answerer -> hello                 who I am, a nonce, or a reason to refuse
//	dialer   -> proof                 HMAC of both hellos under the secret
//	answerer -> verdict, proof        the same with the other role
//
// The dialer proves itself first, so that a stranger learns nothing computed
// from the secret. With credentials all of it is inside TLS, where both ends
// have shown a certificate of the job's authority before.

// minSecret is the shortest secret in bytes: what can be guessed proves nothing.
const minSecret = 16

// lingerTime is how long a refusal waits for the peer to have read it: closing
// with unread input resets the connection and destroys what was sent.
const lingerTime = 250 * time.Millisecond

func checkSecret(me Hello) error {
	if len(me.Secret) < minSecret {
		return fmt.Errorf("secret of %d bytes, at least %d", len(me.Secret), minSecret)
	}
	return nil
}

func nonce() (n [nonceSize]byte) {
	rand.Read(n[:]) // never fails, see its documentation
	return n
}

// judge compares what a peer says with what we are.
func judge(me, peer Hello) Reason {
	switch {
	case me.Job != peer.Job:
		return WrongJob
	case me.Node == peer.Node:
		return SameNode
	case me.peer != nil && *me.peer != peer.Node:
		return WrongNode
	}
	return Accepted
}

// greet is the dialer's half.
func greet(c net.Conn, me Hello) (Hello, error) {
	if err := checkSecret(me); err != nil {
		return Hello{}, err
	}
	mine := makeHello(me, roleDial, Accepted, nonce())
	if _, err := c.Write(mine[:]); err != nil {
		return Hello{}, fmt.Errorf("send hello: %w", err)
	}
	var theirs helloBytes
	if _, err := io.ReadFull(c, theirs[:]); err != nil {
		return Hello{}, fmt.Errorf("receive hello: %w", err)
	}
	peer, reason, err := theirs.parse(roleAnswer)
	if err != nil {
		return Hello{}, err
	}
	if reason != Accepted {
		return Hello{}, &HandshakeError{Reason: reason, ByPeer: true, Ours: Version, Theirs: Version}
	}
	if reason = judge(me, peer); reason != Accepted {
		return Hello{}, &HandshakeError{Reason: reason, Ours: Version, Theirs: Version}
	}
	return peer, proveDial(c, me, &mine, &theirs)
}

func proveDial(c net.Conn, me Hello, mine, theirs *helloBytes) error {
	p := proof(me.Secret, roleDial, mine, theirs)
	if _, err := c.Write(p[:]); err != nil {
		return fmt.Errorf("send proof: %w", err)
	}
	var answer [1 + proofSize]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return fmt.Errorf("receive proof: %w", err)
	}
	if r := Reason(answer[0]); r != Accepted {
		return &HandshakeError{Reason: r, ByPeer: true, Ours: Version, Theirs: Version}
	}
	want := proof(me.Secret, roleAnswer, mine, theirs)
	if !hmac.Equal(answer[1:], want[:]) {
		return &HandshakeError{Reason: WrongSecret, Ours: Version, Theirs: Version}
	}
	return nil
}

// answer is the listener's half.
func answer(c net.Conn, me Hello) (Hello, error) {
	if err := checkSecret(me); err != nil {
		return Hello{}, err
	}
	var theirs helloBytes
	if _, err := io.ReadFull(c, theirs[:]); err != nil {
		return Hello{}, fmt.Errorf("receive hello: %w", err)
	}
	peer, _, err := theirs.parse(roleDial)
	if err != nil {
		return Hello{}, refuse(c, me, err)
	}
	if reason := judge(me, peer); reason != Accepted {
		return Hello{}, refuse(c, me, &HandshakeError{Reason: reason, Ours: Version, Theirs: Version})
	}
	me.Lane = peer.Lane
	mine := makeHello(me, roleAnswer, Accepted, nonce())
	if _, err := c.Write(mine[:]); err != nil {
		return Hello{}, fmt.Errorf("send hello: %w", err)
	}
	return peer, proveAnswer(c, me, &theirs, &mine)
}

func proveAnswer(c net.Conn, me Hello, theirs, mine *helloBytes) error {
	var got [proofSize]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return fmt.Errorf("receive proof: %w", err)
	}
	want := proof(me.Secret, roleDial, theirs, mine)
	var out [1 + proofSize]byte
	if !hmac.Equal(got[:], want[:]) {
		out[0] = byte(WrongSecret)
		c.Write(out[:]) // the refusal stands whether it arrives or not
		linger(c)
		return &HandshakeError{Reason: WrongSecret, Ours: Version, Theirs: Version}
	}
	p := proof(me.Secret, roleAnswer, theirs, mine)
	copy(out[1:], p[:])
	if _, err := c.Write(out[:]); err != nil {
		return fmt.Errorf("send proof: %w", err)
	}
	return nil
}

// refuse tells the peer why, if it can understand, and returns the reason.
// Who does not speak our protocol gets no answer, and a refusal names no job.
func refuse(c net.Conn, me Hello, why error) error {
	he, ok := why.(*HandshakeError)
	if !ok || he.Reason == NotPopcorn {
		return why
	}
	b := makeHello(Hello{Node: me.Node}, roleAnswer, he.Reason, [nonceSize]byte{})
	c.Write(b[:]) // the refusal stands whether it arrives or not
	linger(c)
	return why
}

// linger ends our side and reads until the peer has ended its own, for a
// short while and a few bytes.
func linger(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	}
	c.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, c, 64<<10)
}
