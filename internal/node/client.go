package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"popcorn/internal/node/api"
	"popcorn/internal/sys"
)

// Client calls the daemon of this host. It holds no connection between calls,
// so there is nothing to close.
type Client struct {
	socket string
	calls  api.LocalServiceClient
}

// Self is what a daemon tells of itself.
type Self struct {
	Member
	Cluster string `json:"cluster"`
}

// JoinToken is a token, and where and until when it is good.
type JoinToken struct {
	Text    string
	Address string
	Expires time.Time
}

// Local finds the daemon of this host; ErrNoDaemon when none answers.
func Local(ctx context.Context) (*Client, error) { return Dial(ctx, findSocket()) }

// Dial is Local for the daemon at a given socket.
func Dial(ctx context.Context, socket string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	t := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	// The host is for the Host header only.
	c := &Client{socket, api.NewLocalServiceClient(httpClient(t), "http://local", clientOptions()...)}
	_, err := c.Self(ctx)
	return c, err
}

// lost is the way to the daemon that failed.
func (c *Client) lost(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, sys.ECONNREFUSED) {
		return fmt.Errorf("%w: nobody listens at %s; \"popcorn node serve\" starts one", ErrNoDaemon, c.socket)
	}
	// Root's folder lets nobody pass until a daemon has opened it.
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: nobody this user may call listens at %s; \"popcorn node serve\" starts one", ErrNoDaemon, c.socket)
	}
	return fmt.Errorf("call daemon at %s: %w", c.socket, bare(err))
}

// Self asks the daemon about its node.
func (c *Client) Self(ctx context.Context) (Self, error) {
	reply, err := c.calls.Self(ctx, &api.SelfRequest{ApiVersion: api.Version})
	if err != nil {
		return Self{}, fromWire(err, c.lost)
	}
	return Self{fromMember(reply.Self), reply.Cluster}, nil
}

// Members lists the nodes of the cluster, sorted by name.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	reply, err := c.calls.Members(ctx, &api.MembersRequest{ApiVersion: api.Version})
	if err != nil {
		return nil, fromWire(err, c.lost)
	}
	return fromWireAll(reply.Members), nil
}

// Token makes a join token.
func (c *Client) Token(ctx context.Context, ttl time.Duration) (JoinToken, error) {
	reply, err := c.calls.Token(ctx, &api.TokenRequest{ApiVersion: api.Version, TtlSeconds: int64(ttl / time.Second)})
	if err != nil {
		return JoinToken{}, fromWire(err, c.lost)
	}
	return JoinToken{reply.Token, reply.Address, time.Unix(reply.Expires, 0)}, nil
}

// Leave takes a node out of the cluster; with an empty name this one.
func (c *Client) Leave(ctx context.Context, name string) error {
	_, err := c.calls.Leave(ctx, &api.LeaveRequest{ApiVersion: api.Version, Node: name})
	return fromWire(err, c.lost)
}

// Drained is how far a node has come with being emptied.
type Drained struct {
	Left     int  // deputies still there
	Draining bool // it is being emptied
}

// Drain empties a node: it takes no more deputies and asks those it has to go,
// each once. ErrNoSuchNode, ErrUnreachable and ErrRefused are told apart.
func (c *Client) Drain(ctx context.Context, name string) (Drained, error) {
	return c.drain(ctx, name, api.DrainAction_DRAIN_ACTION_BEGIN)
}

// Undrain lets a node take deputies again. Those asked to go still do.
func (c *Client) Undrain(ctx context.Context, name string) (Drained, error) {
	return c.drain(ctx, name, api.DrainAction_DRAIN_ACTION_UNDO)
}

// Drained asks how far a node has come.
func (c *Client) Drained(ctx context.Context, name string) (Drained, error) {
	return c.drain(ctx, name, api.DrainAction_DRAIN_ACTION_UNSPECIFIED)
}

func (c *Client) drain(ctx context.Context, name string, action api.DrainAction) (Drained, error) {
	reply, err := c.calls.Drain(ctx, &api.DrainRequest{ApiVersion: api.Version, Node: name, Action: action})
	if err != nil {
		return Drained{}, fromWire(err, c.lost)
	}
	return Drained{int(reply.GetState().GetLeft()), reply.GetState().GetDraining()}, nil
}

// Label changes the labels of a node, with an empty name of this one, and returns
// those it has then. ErrNoSuchNode, ErrUnreachable and ErrRefused are told apart.
func (c *Client) Label(ctx context.Context, name string, set map[string]string, unset []string) (map[string]string, error) {
	reply, err := c.calls.Label(ctx, &api.LabelRequest{ApiVersion: api.Version, Node: name, Set: set, Unset: unset})
	if err != nil {
		return nil, fromWire(err, c.lost)
	}
	return reply.Labels, nil
}

// StartDeputy starts a deputy of the calling user for a job at a node. It reads
// config from descriptor 3. ErrNoSuchNode, ErrUnreachable and ErrRefused are
// told apart.
func (c *Client) StartDeputy(ctx context.Context, nodeName, job string, config []byte) error {
	_, err := c.calls.StartDeputy(ctx, &api.StartDeputyRequest{ApiVersion: api.Version, Node: nodeName, Job: job, Config: config})
	return fromWire(err, c.lost)
}

// DeputyEnd tells what happened to the deputy of a job of the calling user at a
// node, in words; empty when nothing did, as far as that node knows.
func (c *Client) DeputyEnd(ctx context.Context, nodeName, job string) (string, error) {
	reply, err := c.calls.DeputyEnd(ctx, &api.DeputyEndRequest{ApiVersion: api.Version, Node: nodeName, Job: job})
	return reply.GetCause(), fromWire(err, c.lost)
}
