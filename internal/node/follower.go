package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// contactBeats is every how many beats a node that gossips calls the founding node
// all the same: for its certificate, and in case gossip has failed.
const contactBeats = 15

// follower is what a node that joined does at the founding node: it announces
// itself, hears what it does not know, and renews its certificate. Where there is
// no gossip it does so every beat.
type follower struct {
	m      *membership
	id     *trust.Node
	at     Member // the founding node
	log    *slog.Logger
	caller *caller
	news   chan struct{} // of self, not to wait for the next beat
	first  chan struct{} // closed when it has been called once

	mu     sync.Mutex
	silent error // why the founding node was not heard the last time
}

func newFollower(m *membership, id *trust.Node, r record, log *slog.Logger) *follower {
	return &follower{m: m, id: id, at: m.hint, log: log, caller: newCaller(id, "", r.Authority), news: make(chan struct{}, 1),
		first: make(chan struct{})}
}

// called is closed when the founding node has been called once, in vain or not;
// at that node itself there is none to call.
func (f *follower) called() <-chan struct{} {
	if f == nil {
		return closed
	}
	return f.first
}

// closed is a wait that is over.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// run calls the founding node until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer f.caller.close()
	tick := time.NewTicker(f.m.beat)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%contactBeats == 0 || f.lost() || !f.m.gossips() {
			f.note(f.once(ctx))
		}
		if n == 0 {
			close(f.first)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.news:
		}
	}
}

// nudge has the founding node told of what is new, where gossip does not.
func (f *follower) nudge() {
	if f != nil {
		nudge(f.news)
	}
}

func (f *follower) lost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.silent != nil
}

// once announces this node and, when it is time, renews its certificate.
func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(patience*f.m.beat, time.Second))
	defer cancel()
	reply, err := f.caller.peer.Announce(ctx, f.announcement())
	if err != nil {
		return fromWire(err, unreachable(f.at.Name, f.at.Address))
	}
	if reply.News == nil {
		return fmt.Errorf("node %s runs an older popcorn (update it first): %w", f.at.Name, ErrVersion)
	}
	if err := f.m.learn(reply.News); err != nil {
		return err
	}
	if !f.m.gossips() {
		f.believe(fromWireAll(reply.Members))
	}
	if time.Now().Before(f.id.RenewAt()) {
		return nil
	}
	return f.renew(ctx)
}

func (f *follower) announcement() *api.AnnounceRequest {
	req := &api.AnnounceRequest{ApiVersion: api.Version, Self: f.m.own().toWire(), Statement: f.m.last()}
	req.Roster, req.Statements = f.m.numbers()
	return req
}

// believe takes the founding node's opinion on who lives.
func (f *follower) believe(members []Member) {
	states := map[string]State{}
	for _, m := range members {
		if m.State == Draining {
			m.State = Alive
		}
		states[m.Name] = m.State
	}
	f.m.views.setAll(states, 0)
}

// renew asks for a certificate that lasts longer. The connection that shows the
// old one is left behind.
func (f *follower) renew(ctx context.Context) error {
	csr, err := f.id.Request()
	if err != nil {
		return err
	}
	reply, err := f.caller.peer.Renew(ctx, &api.RenewRequest{ApiVersion: api.Version, Csr: csr})
	if err != nil {
		return fmt.Errorf("renew certificate: %w", fromWire(err, unreachable(f.at.Name, f.at.Address)))
	}
	f.caller.close()
	if err := f.id.Renew(reply.Certificate); err != nil {
		return err
	}
	f.log.Info("certificate renewed", "expires", f.id.Expires())
	f.m.tell() // by the new one
	return nil
}

// leave tells the founding node that this one goes.
func (f *follower) leave(ctx context.Context) error {
	_, err := f.caller.peer.LeaveSelf(ctx, &api.LeaveSelfRequest{ApiVersion: api.Version})
	return fromWire(err, unreachable(f.at.Name, f.at.Address))
}

// turnedAway tells whether the founding node, which has proved to be that, ends
// connections over our certificate: it knows us no more. In TLS 1.3 its word comes
// after our side of the handshake, so a call may fail to be sent before it is read;
// nothing is sent here. Package tls has no type for it.
func (f *follower) turnedAway(ctx context.Context) bool {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: f.id.ClientConfig(f.at.Name)}
	conn, err := dialer.DialContext(ctx, "tcp", f.at.Address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(dialTimeout)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err != nil && strings.Contains(err.Error(), "remote error: tls: bad certificate")
}

// note logs when contact is lost and when it is back, not every beat. Without
// gossip it is all there is to know of the founding node.
func (f *follower) note(err error) {
	f.mu.Lock()
	before := f.silent
	f.silent = err
	f.mu.Unlock()
	if err != nil && !f.m.gossips() && !errors.Is(err, context.Canceled) {
		f.m.views.set(f.at.Name, Unreachable)
	}
	switch {
	case err != nil && before == nil:
		f.log.Warn("lost the founding node; was this node removed from the cluster?", "err", err)
	case err == nil && before != nil:
		f.log.Info("found the founding node again")
	}
}
