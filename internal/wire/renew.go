package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// With TLS, two more messages follow the handshake:
//
//	dialer   -> session, position            zeros for a new one
//	answerer -> verdict, session, position   what it is called, what has come
//
// The positions say where each end's stream goes on.
const claimSize = len(SessionID{}) + 8

// claim is the end of a handshake: a session and what its sender has of it.
type claim struct {
	id  SessionID
	got uint64
}

func (c *claim) encode(b []byte) {
	copy(b, c.id[:])
	binary.LittleEndian.PutUint64(b[len(c.id):], c.got)
}

func (c *claim) decode(b []byte) {
	copy(c.id[:], b)
	c.got = binary.LittleEndian.Uint64(b[len(c.id):])
}

// fits tells whether the peer's claim is one for the session that t is of.
func (t *Ticket) fits(node uint16, c claim) bool {
	return t.id != SessionID{} && t.id == c.id && t.node == node && t.acked <= c.got && c.got <= t.sent
}

// propose is the dialer's half.
func propose(c net.Conn, node uint16, t Ticket) (theirs claim, err error) {
	var out [claimSize]byte
	(&claim{t.id, t.got}).encode(out[:])
	if _, err := c.Write(out[:]); err != nil {
		return theirs, fmt.Errorf("send session: %w", err)
	}
	var in [1 + claimSize]byte
	if _, err := io.ReadFull(c, in[:]); err != nil {
		return theirs, fmt.Errorf("receive session: %w", err)
	}
	if r := Reason(in[0]); r != Accepted {
		return theirs, &HandshakeError{Reason: r, ByPeer: true, Ours: Version, Theirs: Version}
	}
	theirs.decode(in[1:])
	if t.id == (SessionID{}) {
		t = Ticket{id: theirs.id, node: node}
	}
	if !t.fits(node, theirs) {
		return theirs, &HandshakeError{Reason: NoSession, Ours: Version, Theirs: Version}
	}
	return theirs, nil
}

// dispose is the answerer's half: find knows the sessions.
func dispose(c net.Conn, node uint16, find func(uint16, SessionID) (Ticket, bool)) (t Ticket, theirs claim, err error) {
	var in [claimSize]byte
	if _, err := io.ReadFull(c, in[:]); err != nil {
		return t, theirs, fmt.Errorf("receive session: %w", err)
	}
	theirs.decode(in[:])
	t, ok := find(node, theirs.id)
	fresh := theirs == claim{} && t.got == 0 && t.sent == 0
	if theirs.id == (SessionID{}) {
		theirs.id = t.id
		ok = ok && fresh
	}
	var out [1 + claimSize]byte
	if !ok || !t.fits(node, theirs) {
		out[0] = byte(NoSession)
		c.Write(out[:]) // the refusal stands whether it arrives or not
		linger(c)
		return t, theirs, &HandshakeError{Reason: NoSession, Ours: Version, Theirs: Version}
	}
	(&claim{t.id, t.got}).encode(out[1:])
	if _, err := c.Write(out[:]); err != nil {
		return t, theirs, fmt.Errorf("send session: %w", err)
	}
	return t, theirs, nil
}

// newOnly is a find that knows no session but new ones.
func newOnly(node uint16, id SessionID) (Ticket, bool) {
	return Ticket{id: newSessionID(), node: node}, id == SessionID{}
}

// Redial connects to the peer of a suspended session anew and agrees with it where
// to go on. Errors are Dial's; a *HandshakeError means that there is nothing to go
// on with: ErrSession that the peer has given it up.
func (t Ticket) Redial(ctx context.Context, addr string, me Hello) (*Renewal, error) {
	tcp, err := dialSocket(ctx, addr)
	if err != nil {
		return nil, err
	}
	return t.renew(ctx, tcp, me)
}

func (t Ticket) renew(ctx context.Context, tcp Socket, me Hello) (*Renewal, error) {
	var theirs claim
	enc, _, err := introduce(ctx, tcp, me, roleDial, func(c net.Conn, peer Hello) (err error) {
		theirs, err = propose(c, peer.Node, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return renewal(tcp, enc, t, theirs)
}

// AnswerAgain shakes hands with a peer that Redials and takes tcp over, also on
// error. find is asked for a Ticket of the session of that id with that node, and
// may wait for the one who owns the Conn to Suspend it.
func AnswerAgain(ctx context.Context, tcp Socket, me Hello, find func(node uint16, id SessionID) (Ticket, bool)) (*Renewal, Hello, error) {
	var t Ticket
	var theirs claim
	known := func(node uint16, id SessionID) (Ticket, bool) {
		if id == (SessionID{}) {
			return Ticket{}, false
		}
		return find(node, id)
	}
	enc, peer, err := introduce(ctx, tcp, me, roleAnswer, func(c net.Conn, peer Hello) (err error) {
		t, theirs, err = dispose(c, peer.Node, known)
		return err
	})
	if err != nil {
		return nil, Hello{}, err
	}
	r, err := renewal(tcp, enc, t, theirs)
	return r, peer, err
}

func renewal(tcp Socket, enc *tlsStream, t Ticket, theirs claim) (*Renewal, error) {
	fd, err := takeSocket(tcp)
	if err != nil {
		return nil, err
	}
	return &Renewal{s: enc.over(fdStream(fd)), gen: t.gen, peerGot: theirs.got}, nil
}
