package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// HandshakeTimeout ends a handshake whose context has no earlier deadline.
const HandshakeTimeout = 10 * time.Second

// Unix, for Listen, is an address of this host alone, by a unix socket: the kernel
// makes up a name in its abstract name space, which no file system shows.
const Unix = "unix"

// Socket is a connection that is not yet known to be a peer's, of TCP or unix.
type Socket interface {
	net.Conn
	sys.Conn
}

// Listener accepts peers.
type Listener struct {
	l interface {
		net.Listener
		SetDeadline(time.Time) error
	}
}

// Listen listens on a TCP address, as 127.0.0.1:0, or on Unix.
func Listen(addr string) (*Listener, error) {
	if addr == Unix {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"}) // without a name: unix(7), autobind
		if err != nil {
			return nil, fmt.Errorf("listen for peers: %w", err)
		}
		return &Listener{l}, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	return &Listener{l.(*net.TCPListener)}, nil
}

// Addr is the address listened on, with the port the kernel chose.
func (l *Listener) Addr() string { return l.l.Addr().String() }

// Close ends listening; an Accept in progress returns net.ErrClosed.
func (l *Listener) Close() error { return l.l.Close() }

// Accept waits for one peer and shakes hands with it. After a
// *HandshakeError, a timeout in the handshake or a lost peer the listener is
// as good as before: accept again. It is finished after net.ErrClosed and when
// ctx is done. A silent peer holds up the others until HandshakeTimeout; who
// minds calls AcceptSocket and answers each in a goroutine of its own.
func (l *Listener) Accept(ctx context.Context, me Hello) (*Conn, Hello, error) {
	tcp, err := l.AcceptSocket(ctx)
	if err != nil {
		return nil, Hello{}, err
	}
	return Answer(ctx, tcp, me)
}

// AcceptSocket waits for a connection, not yet known to be a peer's.
func (l *Listener) AcceptSocket(ctx context.Context) (Socket, error) {
	var c net.Conn
	err := withDeadline(ctx, 0, l.l.SetDeadline, func() (err error) {
		c, err = l.l.Accept()
		return err
	})
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, fmt.Errorf("accept peer: %w", err)
	}
	return c.(Socket), nil
}

// Answer shakes hands as the accepting side and takes tcp over, also on error.
func Answer(ctx context.Context, tcp Socket, me Hello) (*Conn, Hello, error) {
	return shake(ctx, tcp, me, roleAnswer)
}

// Dial connects to a supervisor of the same job and shakes hands. Errors:
// *HandshakeError, context errors, and what net.Dialer returns.
func Dial(ctx context.Context, addr string, me Hello) (*Conn, Hello, error) {
	tcp, err := dialSocket(ctx, addr)
	if err != nil {
		return nil, Hello{}, err
	}
	return shake(ctx, tcp, me, roleDial)
}

func dialSocket(ctx context.Context, addr string) (Socket, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "@") {
		network = "unix"
	}
	d := net.Dialer{Timeout: HandshakeTimeout}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("dial peer: %w", err)
	}
	return c.(Socket), nil
}

// shake runs our half of the handshake and turns tcp into a Conn, with a new
// session if it is encrypted.
func shake(ctx context.Context, tcp Socket, me Hello, role byte) (*Conn, Hello, error) {
	var id SessionID
	enc, peer, err := introduce(ctx, tcp, me, role, func(c net.Conn, peer Hello) error {
		if role == roleDial {
			theirs, err := propose(c, peer.Node, Ticket{})
			id = theirs.id
			return err
		}
		t, _, err := dispose(c, peer.Node, newOnly)
		id = t.id
		return err
	})
	if err != nil {
		return nil, Hello{}, err
	}
	fd, err := takeSocket(tcp)
	if err != nil {
		return nil, Hello{}, err
	}
	if enc != nil {
		return newSession(enc.over(fdStream(fd)), id, peer.Node), peer, nil
	}
	return NewConn(fd), peer, nil
}

// introduce runs our half of the handshake over tcp, which it closes on error, and
// inside TLS agree after it. The stream is nil without credentials.
func introduce(ctx context.Context, tcp Socket, me Hello, role byte, agree func(net.Conn, Hello) error) (enc *tlsStream, peer Hello, err error) {
	half := greet
	if role == roleAnswer {
		half = answer
	}
	err = withDeadline(ctx, HandshakeTimeout, tcp.SetDeadline, func() (err error) {
		if me.Credentials == nil {
			peer, err = half(tcp, me)
			return err
		}
		if enc, err = encrypt(tcp, me, role); err != nil {
			return err
		}
		if peer, err = shakeInside(enc.tls, me, half); err != nil {
			return err
		}
		return agree(enc.tls, peer)
	})
	if err != nil {
		addr := tcp.RemoteAddr()
		tcp.Close()
		return nil, Hello{}, fmt.Errorf("shake hands with %v: %w", addr, err)
	}
	return enc, peer, nil
}

// shakeInside runs half inside TLS. A dialer hears only now that its
// certificate was refused.
func shakeInside(c *tls.Conn, me Hello, half func(net.Conn, Hello) (Hello, error)) (Hello, error) {
	node, err := certified(c.ConnectionState(), me.Job)
	if err != nil {
		return Hello{}, err
	}
	me.peer = &node
	peer, err := half(c, me)
	if err != nil && isAlert(err, remoteAlert) {
		err = tlsRefusal(err)
	}
	return peer, err
}

// takeSocket takes the descriptor from the net package, whose poller must not know
// it any more.
func takeSocket(c Socket) (int, error) {
	_, isTCP := c.(*net.TCPConn)
	fd, err := sys.TakeFD(c)
	if err != nil {
		return -1, fmt.Errorf("take connection: %w", err)
	}
	if err = sys.SetNonblock(fd, true); err == nil && isTCP {
		err = sys.SetNoDelay(fd, true)
	}
	if err != nil {
		sys.Close(fd)
		return -1, fmt.Errorf("set up connection: %w", err)
	}
	return fd, nil
}

// withDeadline runs f, ended by ctx or, unless it is 0, after limit, both by
// way of set, a connection's SetDeadline. No deadline is left behind.
func withDeadline(ctx context.Context, limit time.Duration, set func(time.Time) error, f func() error) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		set(time.Unix(1, 0)) // long past: whatever waits ends
		close(fired)
	})
	err := f()
	if !stop() {
		<-fired
	}
	set(time.Time{})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
