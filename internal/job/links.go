package job

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// links are one process's connections to other nodes of its job, by number. They
// belong to its loop. One that breaks is mended (see mend.go) if it has a session.
type links struct {
	loop  *loop
	me    wire.Hello
	peers map[coherence.NodeID]*wire.Conn
	// heard is when a node gave a sign of life; nil when nobody judges by it.
	heard map[coherence.NodeID]time.Duration
	// patience is how long a connection may stay broken; zero for as long as the
	// other end may still be there.
	patience time.Duration
	// frame is given what comes; its error ends the connection.
	frame func(from coherence.NodeID, h wire.Header, payload []byte) error
	// gone tells that there is no connection to n any more.
	gone func(n coherence.NodeID, why error)
	logf func(format string, a ...any)

	// addrs is where nodes listen, empty where that is not known, and dials tells
	// which of them it is for us to connect to.
	addrs    map[coherence.NodeID]string
	dials    func(n coherence.NodeID) bool
	listener *wire.Listener // nil without sessions
	cuts     map[coherence.NodeID]*cut
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
	all      sync.WaitGroup // what mends
}

func newLinks(me wire.Hello) *links {
	l := &links{me: me, peers: map[coherence.NodeID]*wire.Conn{}, addrs: map[coherence.NodeID]string{},
		cuts: map[coherence.NodeID]*cut{}, logf: func(string, ...any) {}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// watchAll puts the connections under the eyes of the loop.
func (l *links) watchAll() error {
	for n, c := range l.peers {
		if err := l.watchPeer(n, c); err != nil {
			return err
		}
	}
	if l.listener != nil {
		l.all.Go(l.accept)
	}
	return nil
}

func (l *links) watchPeer(n coherence.NodeID, c *wire.Conn) error {
	return l.loop.addEdge(c.FD(), func(events uint32) { l.receive(n, c, events) })
}

// closeAll says goodbye to all peers and waits for what mends; the loop has ended,
// or this is its last turn.
func (l *links) closeAll() {
	for _, c := range l.peers {
		c.Flush()
		c.Close()
	}
	l.cancel()
	if l.listener != nil {
		l.listener.Close()
	}
	l.all.Wait()
}

func (l *links) receive(n coherence.NodeID, c *wire.Conn, events uint32) {
	if events&sys.EPOLLOUT != 0 && c.Flush() == nil {
		l.loop.rearm(c.FD(), c.Queued() > 0)
	}
	frame := func(h wire.Header, payload []byte) error { return l.received(n, h, payload) }
	err := c.Recv(frame)
	for ended := events&(sys.EPOLLRDHUP|sys.EPOLLHUP|sys.EPOLLERR) != 0; err == nil && ended; {
		err = c.Recv(frame) // until the end shows
	}
	if err == nil && c.More() {
		l.loop.rearm(c.FD(), c.Queued() > 0 && !c.Held())
	}
	switch {
	case err == nil || l.loop.stopped:
	case errors.Is(err, wire.ErrBroken):
		l.broke(n, err)
	default:
		l.giveUp(n, err)
	}
}

func (l *links) received(n coherence.NodeID, h wire.Header, payload []byte) error {
	if l.heard != nil {
		l.heard[n] = sys.Monotonic()
	}
	if h.Type == wire.TPing {
		return nil
	}
	return l.frame(n, h, payload)
}

// transmit sends a frame, now or when the connection is mended. That a peer is gone
// shows when it is received from.
func (l *links) transmit(to coherence.NodeID, h wire.Header, payload ...[]byte) {
	c := l.peers[to]
	if c == nil {
		return
	}
	if err := c.Send(h, payload...); err != nil {
		l.untransmitted(to, h, err)
		return
	}
	l.watch(c)
}

// untransmitted gives up a peer that something could not be sent to: it would miss
// it for ever.
func (l *links) untransmitted(to coherence.NodeID, h wire.Header, err error) {
	l.logf("send %v to node %d: %v", h.Type, to, err)
	if !errors.Is(err, wire.ErrQueueFull) {
		return
	}
	l.loop.post(func() { l.giveUp(to, err) }) // not within what is being done
}

// watch has what is queued sent when the peer takes it.
func (l *links) watch(c *wire.Conn) {
	if c.Queued() > 0 && !c.Held() {
		l.loop.rearm(c.FD(), true)
	}
}

// together runs f and transmits what it sends to node n in one go.
func (l *links) together(n coherence.NodeID, f func()) {
	c := l.peers[n]
	if c == nil {
		f()
		return
	}
	c.Hold()
	f()
	if err := c.Flush(); err != nil {
		l.logf("send to node %d: %v", n, err)
		return
	}
	l.watch(c)
}

// absent is that a node of the job has not connected, as err shows.
func (l *links) absent(s *Spec, err error) error {
	for n := range s.Nodes {
		if n != int(l.me.Node) && l.peers[coherence.NodeID(n)] == nil {
			return &lostError{n, fmt.Errorf("wait for %s: %w", s.nodeTitle(n), err)}
		}
	}
	return err
}

// giveUp ends the connection to a node that is lost.
func (l *links) giveUp(n coherence.NodeID, why error) {
	c := l.peers[n]
	if c == nil {
		return
	}
	if c.FD() >= 0 {
		l.loop.remove(c.FD())
	}
	c.Close()
	delete(l.peers, n)
	if k := l.cuts[n]; k != nil {
		l.loop.cancel(k.end)
		delete(l.cuts, n)
		why = fmt.Errorf("%w (%w)", why, k.why)
	}
	l.gone(n, why)
}
