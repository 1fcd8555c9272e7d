package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"popcorn/internal/node/api"
)

// maxConns bounds the connections of each listener: each may be of somebody
// who has shown nothing yet.
const maxConns = 2048

// maxObservers is the same for metrics.
const maxObservers = 16

// servers are the doors of a daemon.
type servers struct {
	tcp, unix   net.Listener
	peer, local *http.Server
	metricsAt   net.Listener // nil: none
	metrics     *http.Server
	calls       sync.WaitGroup // under way
}

// build makes the servers of d.
func (s *servers) build(d *Daemon) {
	opts := func(limit int) []connect.HandlerOption {
		return []connect.HandlerOption{connect.WithInterceptors(d.audit.interceptor(d.meter)), connect.WithReadMaxBytes(limit),
			connect.WithCompression("gzip", nil, nil)} // nothing to blow up
	}
	mux := http.NewServeMux()
	mux.Handle(api.NewLocalServiceHandler(localCalls{d}, opts(maxCall)...))
	s.local = newServer(onlyKnown(mux), d)
	s.local.ConnContext = ofSocket

	s.metrics = newServer(d.observe(), d)

	door, inside := http.NewServeMux(), http.NewServeMux()
	inside.Handle(api.NewPeerServiceHandler(peerCalls{d}, opts(maxCall)...))
	if d.auth != nil {
		door.Handle(api.NewJoinServiceHandler(joinCalls{d}, opts(maxJoin)...))
	}
	door.Handle("/", d.onlyMembers(inside))
	s.peer = newServer(fromAddress(door), d)
	s.peer.TLSConfig = d.id.ServerConfig()
	s.peer.TLSConfig.NextProtos = []string{packetsKind, exchangeKind, "http/1.1"}
	s.peer.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		packetsKind:  func(_ *http.Server, c *tls.Conn, _ http.Handler) { d.gossips(c, packetsKind) },
		exchangeKind: func(_ *http.Server, c *tls.Conn, _ http.Handler) { d.gossips(c, exchangeKind) },
	}
}

func newServer(h http.Handler, d *Daemon) *http.Server {
	s := &http.Server{Handler: counted(&d.servers.calls, h), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: callTimeout, WriteTimeout: 2 * callTimeout,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(d.audit, "", 0), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true) // enough for single calls, and less to attack
	return s
}

// counted lets Close wait for the requests it has cut off.
func counted(calls *sync.WaitGroup, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		defer calls.Done()
		h.ServeHTTP(w, r)
	})
}

// fromAddress notes where a request comes from.
func fromAddress(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, who{addr: r.RemoteAddr})))
	})
}

// onlyMembers serves nodes of the cluster. Every request is judged anew, since
// a connection may outlive its certificate.
func (d *Daemon) onlyMembers(h http.Handler) http.Handler {
	say := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := d.id.VerifyClient(r.TLS.PeerCertificates)
		if err != nil {
			err = fmt.Errorf("%w: %w", err, ErrRefused)
			if d.audit.roomForStranger() {
				d.audit.done(r.Context(), r.URL.Path, "", err)
			}
			say.Write(w, r, connect.NewError(connect.CodeUnauthenticated, err))
			return
		}
		from := who{addr: r.RemoteAddr, node: id.Node}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, from)))
	})
}

// gossips serves a connection of gossip from its start to its end. The handshake has
// judged a certificate if there is one.
func (d *Daemon) gossips(c *tls.Conn, kind string) {
	if len(c.ConnectionState().PeerCertificates) > 0 {
		d.members.gossip.serve(c, kind)
	} else if d.audit.roomForStranger() {
		d.audit.write(event{What: kind, Who: "a stranger", From: c.RemoteAddr().String(), Result: "refused", Reason: "no certificate"})
	}
}

func (s *servers) serveLocal() error {
	return unlessClosed(s.local.Serve(limit(s.unix, maxConns)))
}

func (s *servers) servePeers() error {
	return unlessClosed(s.peer.ServeTLS(limit(s.tcp, maxConns), "", ""))
}

func (s *servers) serveMetrics() error {
	return unlessClosed(s.metrics.Serve(limit(s.metricsAt, maxObservers)))
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown lets requests under way finish for a moment and then cuts them off.
func (s *servers) shutdown(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var errs []error
	for _, srv := range []*http.Server{s.peer, s.local, s.metrics} {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, srv.Close())
		}
	}
	s.calls.Wait()
	return errors.Join(errs...)
}

func (s *servers) closeListeners() error {
	var errs []error
	for _, ln := range []net.Listener{s.tcp, s.unix, s.metricsAt} {
		if ln != nil {
			errs = append(errs, ln.Close())
		}
	}
	return errors.Join(errs...)
}
