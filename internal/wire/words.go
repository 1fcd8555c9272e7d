package wire

import (
	"context"
	"errors"
	"net"
)

// DialStream is Dial for those that wait for each other's words instead of
// polling: the connection is one of package net. It takes credentials.
func DialStream(ctx context.Context, addr string, me Hello) (net.Conn, Hello, error) {
	tcp, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, Hello{}, err
	}
	return streamWith(ctx, tcp, me, roleDial)
}

// AcceptStream is Accept for the other end of a DialStream.
func (l *Listener) AcceptStream(ctx context.Context, me Hello) (net.Conn, Hello, error) {
	tcp, err := l.AcceptTCP(ctx)
	if err != nil {
		return nil, Hello{}, err
	}
	return streamWith(ctx, tcp, me, roleAnswer)
}

func streamWith(ctx context.Context, tcp *net.TCPConn, me Hello, role byte) (net.Conn, Hello, error) {
	if me.Credentials == nil {
		tcp.Close()
		return nil, Hello{}, errors.New("open stream: no credentials")
	}
	enc, peer, err := introduce(ctx, tcp, me, role)
	if err != nil {
		return nil, Hello{}, err
	}
	return enc.tls, peer, nil
}
