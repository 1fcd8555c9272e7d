package node

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

const (
	dialTimeout = 10 * time.Second
	callTimeout = 30 * time.Second
	// forwardTimeout is for a call made on behalf of another.
	forwardTimeout = 20 * time.Second
	// maxJoin and maxCall bound what a stranger and a peer may send.
	maxJoin = 64 << 10
	maxCall = 4 << 20
)

// caller calls one node.
type caller struct {
	transport *http.Transport
	peer      api.PeerServiceClient
}

// newCaller is for the node called name at addr; with an empty name, whichever
// node holds the authority.
func newCaller(id *trust.Node, name, addr string) *caller {
	t := transport(id.ClientConfig(name))
	return &caller{t, api.NewPeerServiceClient(httpClient(t), "https://"+addr, clientOptions()...)}
}

// close ends the connections that wait for another call.
func (c *caller) close() { c.transport.CloseIdleConnections() }

// transport has no proxy, and room for one connection.
func transport(cfg *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: cfg, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}
}

// httpClient follows nobody's word to go elsewhere: it would take the secret
// of a token along.
func httpClient(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, Timeout: callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func clientOptions() []connect.ClientOption {
	return []connect.ClientOption{connect.WithReadMaxBytes(maxCall), connect.WithAcceptCompression("gzip", nil, nil)}
}
