package node

import (
	"context"
	"errors"
	"fmt"

	"popcorn/internal/node/api"
)

// peerCalls are the calls of the other nodes.
type peerCalls struct{ d *Daemon }

// Announce implements the API. Who announces itself the certificate says.
func (p peerCalls) Announce(ctx context.Context, req *api.AnnounceRequest) (*api.AnnounceResponse, error) {
	if err := p.d.onlyFounder("members announce themselves"); err != nil {
		return nil, err
	}
	name, m := asks(ctx).node, p.d.members
	if in, left := m.has(name); !in || left {
		return nil, fmt.Errorf("node %s was removed from the cluster: %w", name, ErrRefused)
	}
	if req.Statement == nil {
		return nil, fmt.Errorf("node %s runs an older popcorn than this one (update it there): %w", name, ErrVersion)
	}
	if err := m.learn(&api.Known{Statements: []*api.SignedStatement{req.Statement}}); err != nil {
		return nil, err
	}
	m.views.heard(name)
	return &api.AnnounceResponse{Members: toWireAll(m.List()), Revoked: p.d.auth.Revoked(), News: m.newsFor(req.Roster, req.Statements)}, nil
}

// announced is what a node called name says of itself, if it can be true.
func announced(w *api.Member, name string) (Member, error) {
	m := fromMember(w)
	m.Name, m.Founder = name, false
	if m.State != Draining {
		m.State = Alive // who speaks lives
	}
	for _, s := range []string{m.Arch, m.Kernel, m.Version} {
		if len(s) > 128 {
			return m, fmt.Errorf("node %s says too much of itself: %w", name, ErrMalformed)
		}
	}
	if err := checkLabels(m.Labels); err != nil {
		return m, fmt.Errorf("node %s: %w", name, err)
	}
	if err := errors.Join(m.Limits.Check(), m.Each.Check()); err != nil { // what is no number is no JSON
		return m, fmt.Errorf("limits of node %s: %w: %w", name, ErrMalformed, err)
	}
	return m, checkAddress(m.Address)
}

// Renew implements the API.
func (p peerCalls) Renew(ctx context.Context, req *api.RenewRequest) (*api.RenewResponse, error) {
	if err := p.d.onlyFounder("certificates are renewed"); err != nil {
		return nil, err
	}
	p.d.ruling.Lock()
	defer p.d.ruling.Unlock()
	name := asks(ctx).node
	if _, err := findMember(p.d.members.List(), name); err != nil {
		return nil, fmt.Errorf("renew certificate: %w", err)
	}
	der, err := p.d.auth.Issue(name, req.Csr)
	if err != nil {
		return nil, err
	}
	return &api.RenewResponse{Certificate: der}, nil
}

// LeaveSelf implements the API.
func (p peerCalls) LeaveSelf(ctx context.Context, _ *api.LeaveSelfRequest) (*api.LeaveSelfResponse, error) {
	if err := p.d.onlyFounder("nodes leave"); err != nil {
		return nil, err
	}
	return &api.LeaveSelfResponse{}, p.d.remove(asks(ctx).node)
}

// StartUserDeputy implements the API. Nodes believe each other who their users
// are; whom this one lets in it decides itself.
func (p peerCalls) StartUserDeputy(_ context.Context, req *api.StartUserDeputyRequest) (*api.StartUserDeputyResponse, error) {
	return &api.StartUserDeputyResponse{}, p.d.deputies.start(errand{req.Uid, req.Gid, req.Job, req.Config})
}

// UserDeputyEnd implements the API.
func (p peerCalls) UserDeputyEnd(_ context.Context, req *api.UserDeputyEndRequest) (*api.UserDeputyEndResponse, error) {
	cause, err := p.d.deputies.cause(req.Uid, req.Job)
	return &api.UserDeputyEndResponse{Cause: cause}, err
}

// DrainHere implements the API. Nodes believe each other that it was a master
// who asked for it.
func (p peerCalls) DrainHere(_ context.Context, req *api.DrainHereRequest) (*api.DrainHereResponse, error) {
	state, err := p.d.drain.do(req.Action)
	return &api.DrainHereResponse{State: state, Statement: p.d.members.last()}, err
}
