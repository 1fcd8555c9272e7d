package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// follower is the membership at a node that joined: it announces itself to the
// founding node every beat and hears who else is there.
type follower struct {
	dir    trust.Dir
	id     *trust.Node
	at     Member // the founding node
	beat   time.Duration
	log    *slog.Logger
	caller *caller
	news   chan struct{} // of self, not to wait for the next beat

	mu     sync.Mutex
	self   Member
	heard  []Member // the founding node's last word
	silent error    // why there has been none since
}

// newFollower starts from what was heard last, so that the others are found
// while the founding node is down.
func newFollower(dir trust.Dir, id *trust.Node, self Member, r record, cfg Config) (*follower, error) {
	at := Member{Name: r.Founder, Address: r.Authority, State: Silent, Since: time.Now(), Founder: true}
	f := &follower{dir: dir, id: id, self: self, at: at, beat: cfg.Beat, log: cfg.Log, caller: newCaller(id, "", r.Authority),
		news: make(chan struct{}, 1)}
	if err := dir.ReadJSON(membersFile, &f.heard); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for i := range f.heard {
		if f.heard[i].State.lives() {
			f.heard[i].State = Silent
		}
	}
	return f, nil
}

// List implements membership.
func (f *follower) List() []Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Member{f.self}
	if f.heard == nil {
		out = append(out, f.at)
	}
	for _, m := range f.heard {
		if m.Founder && f.silent != nil {
			m.State, m.Since = Silent, f.at.Since
		}
		if m.Name != f.self.Name {
			out = append(out, m)
		}
	}
	sortMembers(out)
	return out
}

// run implements membership.
func (f *follower) run(ctx context.Context) {
	defer f.caller.close()
	tick := time.NewTicker(f.beat)
	defer tick.Stop()
	for {
		f.note(f.once(ctx))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.news:
		}
	}
}

// become implements membership.
func (f *follower) become(s State, since time.Time) {
	f.mu.Lock()
	f.self.State, f.self.Since = s, since
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

func (f *follower) own() Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.self
}

// once announces this node and, when it is time, renews its certificate.
func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(patience*f.beat, time.Second))
	defer cancel()
	reply, err := f.caller.peer.Announce(ctx, &api.AnnounceRequest{ApiVersion: api.Version, Self: f.own().toWire()})
	if err != nil {
		return fromWire(err, unreachable(f.at.Name, f.at.Address))
	}
	// In this order: who is seen to have left is not believed any more.
	if err := f.id.SetRevoked(reply.Revoked); err != nil {
		return err
	}
	if err := f.hear(fromWireAll(reply.Members)); err != nil || time.Now().Before(f.id.RenewAt()) {
		return err
	}
	return f.renew(ctx)
}

// hear takes in the founding node's list, and keeps it when somebody came,
// went or moved.
func (f *follower) hear(members []Member) error {
	where := func(ms []Member) (out []string) {
		for _, m := range ms {
			if m.State != Left {
				out = append(out, m.Name, m.Address)
			}
		}
		return out
	}
	f.mu.Lock()
	same := slices.Equal(where(f.heard), where(members))
	f.heard = members
	f.mu.Unlock()
	if same {
		return nil
	}
	return f.dir.WriteJSON(membersFile, members)
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
	return nil
}

// leave tells the founding node that this one goes.
func (f *follower) leave(ctx context.Context) error {
	_, err := f.caller.peer.LeaveSelf(ctx, &api.LeaveSelfRequest{ApiVersion: api.Version})
	return fromWire(err, unreachable(f.at.Name, f.at.Address))
}

// note logs when contact is lost and when it is back, not every beat.
func (f *follower) note(err error) {
	f.mu.Lock()
	before := f.silent
	f.silent = err
	if err == nil {
		f.at.Since = time.Now()
	}
	f.mu.Unlock()
	switch {
	case err != nil && before == nil:
		f.log.Warn("lost the founding node; was this node removed from the cluster?", "err", err)
	case err == nil && before != nil:
		f.log.Info("found the founding node again")
	}
}
