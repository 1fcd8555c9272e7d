package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

const (
	// attemptPatience is how long one attempt to mend a connection may take: a
	// connection to a host that is cut off does not come about by itself.
	attemptPatience = 3 * time.Second
	// firstPause and lastPause bound the doubling time between two attempts.
	firstPause = 25 * time.Millisecond
	lastPause  = time.Second
	// refusals is how often in a row nobody listens where a node did, before that
	// means that its process is no more: one could be a firewall's that is being set up.
	refusals = 3
	// strangers is how many may shake hands at once.
	strangers = 16
)

// cut is a connection that is broken. The end that made it makes it again; the other
// waits, and finds out meanwhile whether there is still somebody to wait for.
type cut struct {
	n       coherence.NodeID
	why     error
	ticket  wire.Ticket
	end     *timer
	pause   time.Duration
	refused int // the last attempts in a row
}

// broke begins to mend the connection to node n.
func (l *links) broke(n coherence.NodeID, why error) *cut {
	c := l.peers[n]
	l.loop.remove(c.FD())
	k := &cut{n: n, why: why, ticket: c.Suspend(), pause: firstPause}
	l.cuts[n] = k
	l.logf("connection to node %d: %v", n, why)
	if l.patience > 0 {
		k.end = l.loop.after(l.patience, func() { l.giveUp(n, fmt.Errorf("no connection for %v", l.patience)) })
	}
	l.mend(k)
	return k
}

// mend makes one attempt.
func (l *links) mend(k *cut) {
	addr, ticket, dials := l.addrs[k.n], k.ticket, l.dials(k.n)
	if addr == "" {
		return // all there is to do is to wait
	}
	l.all.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, attemptPatience)
		defer cancel()
		var r *wire.Renewal
		var err error
		if dials {
			r, err = ticket.Redial(ctx, addr, l.me)
		} else {
			err = wire.Probe(ctx, addr)
		}
		l.loop.post(func() { l.tried(k, r, err) })
	})
}

// tried judges an attempt.
func (l *links) tried(k *cut, r *wire.Renewal, err error) {
	var refused *wire.HandshakeError
	switch {
	case r != nil:
		l.resume(k.n, r)
		return
	case l.cuts[k.n] != k:
		return
	case errors.As(err, &refused):
		l.giveUp(k.n, err)
		return
	case errors.Is(err, sys.ECONNREFUSED):
		k.refused++
	default:
		k.refused = 0
	}
	if k.refused == refusals {
		l.giveUp(k.n, errors.New("its process is no more"))
		return
	}
	l.loop.after(k.pause/2+rand.N(k.pause/2), func() {
		if l.cuts[k.n] == k {
			l.mend(k)
		}
	})
	if k.pause = 2 * k.pause; k.pause > lastPause {
		k.pause = lastPause
	}
}

// resume goes on with the connection to node n over a new one.
func (l *links) resume(n coherence.NodeID, r *wire.Renewal) {
	k, c := l.cuts[n], l.peers[n]
	if k == nil {
		r.Close()
		return
	}
	if !c.Resume(r) {
		return
	}
	delete(l.cuts, n)
	l.loop.cancel(k.end)
	l.logf("connection to node %d goes on", n)
	if l.heard != nil {
		l.heard[n] = sys.Monotonic()
	}
	if err := l.watchPeer(n, c); err != nil {
		l.giveUp(n, err)
		return
	}
	c.Flush() // its failure is Recv's to tell
	l.watch(c)
}

// accept lets others take up connections again until close.
func (l *links) accept() {
	room := make(chan struct{}, strangers)
	for {
		tcp, err := l.listener.AcceptSocket(l.ctx)
		if err != nil && (l.ctx.Err() != nil || errors.Is(err, net.ErrClosed)) {
			return
		}
		if err != nil { // descriptors may be short for a while
			l.pauseFor(lastPause)
			continue
		}
		room <- struct{}{}
		l.all.Go(func() {
			l.answer(tcp)
			<-room
		})
	}
}

func (l *links) pauseFor(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
	}
}

// answer takes up a connection again that another has made anew.
func (l *links) answer(tcp wire.Socket) {
	ctx, cancel := context.WithTimeout(l.ctx, attemptPatience)
	defer cancel()
	r, peer, err := wire.AnswerAgain(ctx, tcp, l.me, func(node uint16, id wire.SessionID) (wire.Ticket, bool) {
		return l.offer(ctx, coherence.NodeID(node), id)
	})
	if err != nil {
		stranger(l.me, err)
		return
	}
	l.loop.post(func() { l.resume(coherence.NodeID(peer.Node), r) })
}

// stranger writes down a caller who was refused. What else goes wrong with a call
// is of no account: whoever that was calls again.
func stranger(me wire.Hello, err error) {
	var refused *wire.HandshakeError
	if errors.As(err, &refused) && !refused.ByPeer {
		control.Refused("a stranger called node %d of job %x: %v", me.Node, me.Job[:4], err)
	}
}

// offer asks the loop for the ticket of a session.
func (l *links) offer(ctx context.Context, n coherence.NodeID, id wire.SessionID) (wire.Ticket, bool) {
	ticket := make(chan wire.Ticket, 1)
	l.loop.post(func() {
		if t, ok := l.interrupt(n, id); ok {
			ticket <- t
		}
		close(ticket)
	})
	select {
	case t, ok := <-ticket:
		return t, ok
	case <-ctx.Done():
		return wire.Ticket{}, false
	}
}

// interrupt gives a ticket to the node that made the connection before. It may know
// of the cut while we do not.
func (l *links) interrupt(n coherence.NodeID, id wire.SessionID) (wire.Ticket, bool) {
	c := l.peers[n]
	if c == nil || l.dials(n) || id != c.Session() {
		return wire.Ticket{}, false
	}
	k := l.cuts[n]
	if k == nil {
		k = l.broke(n, errors.New("connection broken at the other end"))
	} else {
		k.ticket = c.Suspend()
	}
	return k.ticket, true
}
