package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"popcorn/internal/node/api"
)

// localCalls are the calls of the users of this host.
type localCalls struct{ d *Daemon }

// Self implements the API.
func (l localCalls) Self(context.Context, *api.SelfRequest) (*api.SelfResponse, error) {
	return &api.SelfResponse{Self: l.d.Self().toWire(), Cluster: l.d.id.Identity().Cluster, ApiVersion: api.Version}, nil
}

// Members implements the API.
func (l localCalls) Members(context.Context, *api.MembersRequest) (*api.MembersResponse, error) {
	return &api.MembersResponse{Members: toWireAll(l.d.members.List())}, nil
}

// Token implements the API.
func (l localCalls) Token(ctx context.Context, req *api.TokenRequest) (*api.TokenResponse, error) {
	if err := onlyMaster(ctx, "make tokens"); err != nil {
		return nil, err
	}
	if err := l.d.onlyFounder("tokens are made"); err != nil {
		return nil, err
	}
	t, expires, err := l.d.auth.Token(time.Duration(req.TtlSeconds) * time.Second)
	if err != nil {
		return nil, err
	}
	return &api.TokenResponse{Token: t.String(), Address: l.d.self.Address, Expires: expires.Unix()}, nil
}

func onlyMaster(ctx context.Context, what string) error {
	if w := asks(ctx); !w.master() {
		return fmt.Errorf("user %d may not %s: only root and the daemon's own user may: %w", w.cred.UID, what, ErrRefused)
	}
	return nil
}

// onlyFounder says where to go with what takes the authority.
func (d *Daemon) onlyFounder(what string) error {
	if d.auth != nil {
		return nil
	}
	return fmt.Errorf("%s at the node that founded the cluster, %s (%s): %w", what, d.members.follower.at.Name, d.members.follower.at.Address, ErrRefused)
}

// Leave implements the API.
func (l localCalls) Leave(ctx context.Context, req *api.LeaveRequest) (*api.LeaveResponse, error) {
	if err := onlyMaster(ctx, "take nodes out of the cluster"); err != nil {
		return nil, err
	}
	own := req.Node == "" || req.Node == l.d.self.Name
	switch {
	case own && l.d.auth != nil:
		return nil, fmt.Errorf("the node that founded the cluster holds its authority and cannot leave; to end the cluster stop its daemons "+
			"and remove their state directories: %w", ErrRefused)
	case own:
		return &api.LeaveResponse{}, l.d.leave(ctx)
	}
	if err := l.d.onlyFounder("other nodes are removed"); err != nil {
		return nil, err
	}
	return &api.LeaveResponse{}, l.d.remove(req.Node)
}

// leave ends this node's membership, and the daemon once it has answered.
func (d *Daemon) leave(ctx context.Context) error {
	f := d.members.follower
	if err := f.leave(ctx); err != nil && !errors.Is(err, ErrRefused) && !f.turnedAway(ctx) {
		return err
	}
	if err := errors.Join(d.drain.undo(), d.state.forget()); err != nil {
		return fmt.Errorf("forget the cluster: %w", err)
	}
	d.log.Info("node has left the cluster")
	d.over <- nil
	return nil
}

// remove ends the validity of a member's certificates and then takes it out of
// the list: after a crash in between it can be removed again.
func (d *Daemon) remove(name string) error {
	d.ruling.Lock()
	defer d.ruling.Unlock()
	if _, err := findMember(d.members.List(), name); err != nil {
		return err
	}
	if err := d.auth.Revoke(name); err != nil {
		return err
	}
	if err := d.id.SetRevoked(d.auth.Revoked()); err != nil {
		return err
	}
	d.log.Info("node has left the cluster", "node", name)
	return d.registry.leave(name)
}
