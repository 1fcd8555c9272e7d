package node

import (
	"context"
	"fmt"

	"popcorn/internal/node/api"
)

// StartDeputy implements the API. Whose deputy it is the kernel says, not the
// request.
func (l localCalls) StartDeputy(ctx context.Context, req *api.StartDeputyRequest) (*api.StartDeputyResponse, error) {
	cred := asks(ctx).cred
	err := l.d.at(ctx, req.Node, func() error {
		return l.d.deputies.start(errand{cred.UID, cred.GID, req.Job, req.Config})
	}, func(ctx context.Context, c *caller) error {
		_, err := c.peer.StartUserDeputy(ctx, &api.StartUserDeputyRequest{ApiVersion: api.Version, Uid: cred.UID, Gid: cred.GID,
			Job: req.Job, Config: req.Config})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start deputy at node %s: %w", req.Node, err)
	}
	return &api.StartDeputyResponse{}, nil
}

// DeputyEnd implements the API.
func (l localCalls) DeputyEnd(ctx context.Context, req *api.DeputyEndRequest) (reply *api.DeputyEndResponse, err error) {
	uid, cause := asks(ctx).cred.UID, ""
	err = l.d.at(ctx, req.Node, func() (err error) {
		cause, err = l.d.deputies.cause(uid, req.Job)
		return err
	}, func(ctx context.Context, c *caller) error {
		reply, err := c.peer.UserDeputyEnd(ctx, &api.UserDeputyEndRequest{ApiVersion: api.Version, Uid: uid, Job: req.Job})
		if err == nil {
			cause = reply.Cause
		}
		return err
	})
	return &api.DeputyEndResponse{Cause: cause}, err
}

// at has something done at a node: by here, or by calling its daemon.
func (d *Daemon) at(ctx context.Context, node string, here func() error, there func(context.Context, *caller) error) error {
	m, err := findMember(d.members.List(), node)
	if err != nil {
		return err
	}
	if m.Name == d.self.Name {
		return here()
	}
	c := newCaller(d.id, m.Name, m.Address)
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout) // before our own caller loses patience
	defer cancel()
	return fromWire(there(ctx, c), unreachable(m.Name, m.Address))
}
