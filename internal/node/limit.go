package node

import (
	"net"
	"sync"
)

// limited is a listener that has at most so many connections open. The one of
// golang.org/x/net/netutil hides what kind a connection is.
type limited struct {
	net.Listener
	room chan struct{}
	done chan struct{}
	once sync.Once
}

func limit(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, room: make(chan struct{}, n), done: make(chan struct{})}
}

// Accept waits for room first.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &visit{Conn: c, room: l.room}, nil
}

// Close also ends a wait for room.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// visit is a connection that takes up room until it is closed.
type visit struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

func (g *visit) Close() error {
	err := g.Conn.Close()
	g.once.Do(func() { <-g.room })
	return err
}
