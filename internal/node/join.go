package node

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// joinCalls are the calls of those who are not in the cluster yet.
type joinCalls struct{ d *Daemon }

// Join implements the API. What may fail is tried before the token is used up,
// as far as a stranger may learn of it.
func (j joinCalls) Join(_ context.Context, req *api.JoinRequest) (*api.JoinResponse, error) {
	name := req.GetSelf().GetName()
	if err := trust.CheckName(name); err != nil {
		return nil, fmt.Errorf("join: %w: %w", ErrMalformed, err)
	}
	m, err := announced(req.Self, name)
	if err != nil {
		return nil, err
	}
	j.d.ruling.Lock()
	defer j.d.ruling.Unlock()
	if err := j.d.auth.Redeem(req.TokenId, req.TokenSecret); err != nil {
		return nil, refusedToken(err)
	}
	if err := j.d.registry.admit(m); err != nil {
		return nil, err
	}
	der, err := j.d.auth.Issue(name, req.Csr)
	if err != nil {
		return nil, errors.Join(err, j.d.registry.leave(name))
	}
	j.d.log.Info("node has joined", "node", name, "address", m.Address)
	return &api.JoinResponse{Certificate: der, Cluster: j.d.id.Identity().Cluster, Founder: j.d.self.Name}, nil
}

// refusedToken makes a refusal of what is wrong with a token.
func refusedToken(err error) error {
	for _, bad := range []error{trust.ErrTokenUnknown, trust.ErrTokenUsed, trust.ErrTokenExpired} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w (\"popcorn node token\" makes another): %w", err, ErrRefused)
		}
	}
	return err
}

// Joined is what a node learns when it joins.
type Joined struct {
	Name    string // of the new node
	Cluster string
	Founder string
}

// Join makes the host a node of the cluster that made the token, which is at
// addr, and writes the state directory; serving is another matter.
func Join(ctx context.Context, cfg Config, addr, token string) (Joined, error) {
	cfg.fill()
	rec, err := newRecord(cfg)
	if err != nil {
		return Joined{}, misuse{err}
	}
	t, err := trust.ParseToken(token)
	if err != nil {
		return Joined{}, misuse{err}
	}
	rec.Authority = WithPort(addr)
	st, err := openState(cfg.State)
	if err != nil {
		return Joined{}, err
	}
	joined, err := st.join(ctx, cfg, rec, t)
	return joined, errors.Join(err, st.close())
}

func (s *state) join(ctx context.Context, cfg Config, rec record, t trust.Token) (Joined, error) {
	if old, err := trust.Load(s.dir); err == nil {
		return Joined{}, fmt.Errorf("this host is node %s of cluster %s already: \"popcorn node leave\" first: %w",
			old.Identity().Node, old.Identity().Cluster, ErrRefused)
	} else if !errors.Is(err, trust.ErrNoIdentity) {
		return Joined{}, err
	}
	j, err := trust.NewJoiner(t)
	if err != nil {
		return Joined{}, err
	}
	reply, err := callJoin(ctx, cfg, rec, t, j)
	if err != nil {
		return Joined{}, err
	}
	rec.Founder = reply.Founder
	if err := s.dir.WriteJSON(recordFile, rec); err != nil {
		return Joined{}, err
	}
	return Joined{rec.Name, reply.Cluster, reply.Founder}, j.Save(s.dir, rec.Name, reply.Certificate)
}

// callJoin tells the authority the token's secret, once the handshake has shown
// that it is the authority.
func callJoin(ctx context.Context, cfg Config, rec record, t trust.Token, j *trust.Joiner) (*api.JoinResponse, error) {
	csr, err := j.Request()
	if err != nil {
		return nil, err
	}
	addr, err := announcedAddress(rec)
	if err != nil {
		return nil, err
	}
	tr := transport(j.ClientConfig())
	defer tr.CloseIdleConnections()
	client := api.NewJoinServiceClient(httpClient(tr), "https://"+rec.Authority, clientOptions()...)
	reply, err := client.Join(ctx, &api.JoinRequest{ApiVersion: api.Version, TokenId: t.ID[:], TokenSecret: t.Secret[:], Csr: csr,
		Self: ownMember(rec.Name, addr, cfg.Version, false).toWire()})
	if connect.CodeOf(err) == connect.CodeUnauthenticated {
		err = connect.NewError(connect.CodePermissionDenied, errors.New("no node founded a cluster there"))
	}
	if err := fromWire(err, joinFailed(rec.Authority)); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return reply, nil
}

// joinFailed tells apart who could not be reached and who was not believed.
func joinFailed(addr string) func(error) error {
	return func(err error) error {
		for _, bad := range []error{trust.ErrFingerprint, trust.ErrUntrusted, trust.ErrExpired} {
			if errors.Is(err, bad) {
				return fmt.Errorf("%s: %w; nothing was told to it: %w", addr, bare(err), ErrRefused)
			}
		}
		return fmt.Errorf("%s is %w: %w; is \"popcorn node serve\" running there?", addr, ErrUnreachable, bare(err))
	}
}

// announcedAddress is what a node that does not listen yet will say; its daemon
// corrects that when it starts.
func announcedAddress(rec record) (string, error) {
	ln, err := listenAddr(rec.Listen)
	if err != nil {
		return "", err
	}
	addr, err := advertised(rec.Advertise, ln, rec.Authority)
	if err != nil {
		return "", err
	}
	return addr, checkAddress(addr)
}
