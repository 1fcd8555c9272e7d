package job

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/wire"
)

// Host is where a node of a job is.
type Host struct {
	Name string // what people call it
	IP   string // where the other nodes of the job reach it
}

// Deputies are those that can be had on other hosts.
type Deputies interface {
	// StartDeputy has "popcorn deputy" started on a host for a job, with config on
	// descriptor 3.
	StartDeputy(ctx context.Context, host, job string, config []byte) error
	// DeputyEnd tells in words what has happened to that deputy; empty for nothing.
	DeputyEnd(ctx context.Context, host, job string) (string, error)
}

const (
	// deputyLane marks the connection between popcorn run and a deputy.
	deputyLane = 0xffff
	// deputyPatience is how long deputies may take to start and to call.
	deputyPatience = 20 * time.Second
)

// deputyConfig is what a deputy is told; credentials and secret are the job's.
type deputyConfig struct {
	Control string `json:"control"` // where popcorn run listens
	Node    config `json:"node"`
}

// startDeputies has deputies started on the job's other hosts and waits until all
// have called.
func (l *launcher) startDeputies(cfg config, authority *wire.Authority) error {
	if l.deputies == nil {
		return errors.New("there is no way to start a program on other hosts")
	}
	ctx, cancel := context.WithTimeout(context.Background(), deputyPatience)
	defer cancel()
	listener, err := wire.Listen(net.JoinHostPort(l.spec.Hosts[0].IP, "0"))
	if err != nil {
		return err
	}
	defer func() {
		if l.talk == nil {
			listener.Close()
		}
	}()
	for nid := 1; nid < l.spec.Nodes; nid++ {
		if err := l.sendDeputy(ctx, nid, cfg, authority, listener.Addr()); err != nil {
			err = fmt.Errorf("start node %d on %s: %w", nid, l.spec.Hosts[nid].Name, err)
			return &lostError{nid, err}
		}
	}
	if err := cfg.accredit(authority); err != nil {
		return err
	}
	return l.expectDeputies(ctx, listener, hello(&cfg))
}

func (l *launcher) sendDeputy(ctx context.Context, nid int, cfg config, a *wire.Authority, control string) (err error) {
	cfg.Node = nid
	if err := cfg.accredit(a); err != nil {
		return err
	}
	// What the program is and was given is nobody's business there.
	s := cfg.Spec
	cfg.Spec = Spec{Attach: s.Attach, Nodes: s.Nodes, On: s.On, Hosts: s.Hosts, ABI: s.ABI, Verify: s.Verify, LossTimeout: s.LossTimeout, ForeignFrom: s.ForeignFrom}
	cfg.Files, cfg.Ignored, cfg.Blocked = nil, 0, 0
	text, err := json.Marshal(deputyConfig{Control: control, Node: cfg})
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	return l.deputies.StartDeputy(ctx, l.spec.Hosts[nid].Name, l.shortID(), text)
}

// shortID is what people and daemons call the job.
func (l *launcher) shortID() string { return l.job[:min(len(l.job), 8)] }

// causePatience bounds the wait for what hosts know of a job's failure.
const causePatience = 2 * time.Second

// inquire adds to a job's failure what has happened to deputies: that the kernel
// has killed one, say, for want of memory. Who is killed cannot tell it.
func (l *launcher) inquire(failure error) error {
	if len(l.spec.Hosts) == 0 || l.deputies == nil {
		return failure
	}
	ctx, cancel := context.WithTimeout(context.Background(), causePatience)
	defer cancel()
	causes := make([]string, len(l.spec.Hosts))
	var asked sync.WaitGroup
	for nid := 1; nid < len(l.spec.Hosts); nid++ {
		asked.Go(func() {
			// Of a host that does not answer, the failure itself tells.
			causes[nid], _ = l.deputies.DeputyEnd(ctx, l.spec.Hosts[nid].Name, l.shortID())
		})
	}
	asked.Wait()
	for nid, cause := range causes {
		if cause != "" {
			failure = fmt.Errorf("%w; %s: %s", failure, l.spec.nodeTitle(nid), cause)
		}
	}
	return failure
}

// accredit gives the node of cfg its credentials, if the job has an authority.
func (cfg *config) accredit(a *wire.Authority) error {
	if a == nil {
		return nil
	}
	cred, err := a.Issue(uint16(cfg.Node))
	cfg.Credentials = &cred
	return err
}

// expectDeputies waits for the calls of all deputies, and begins to talk to them.
func (l *launcher) expectDeputies(ctx context.Context, listener *wire.Listener, me wire.Hello) error {
	t, err := newTalk(me)
	if err != nil {
		return err
	}
	for len(t.peers) < l.spec.Nodes-1 {
		conn, peer, err := listener.Accept(ctx, me)
		if err != nil && (ctx.Err() != nil || errors.Is(err, net.ErrClosed)) {
			t.closeAll()
			return t.absent(&l.spec, err)
		}
		if err != nil {
			stranger(me, err)
			continue
		}
		nid := coherence.NodeID(peer.Node)
		if int(nid) >= l.spec.Nodes || peer.Lane != deputyLane {
			conn.Close()
			continue
		}
		if old := t.peers[nid]; old != nil { // it had not heard that it was through
			old.Close()
		}
		t.peers[nid] = conn
	}
	return l.converse(t, listener)
}

// converse makes the deputies that have called the posts of their nodes.
func (l *launcher) converse(t *talk, listener *wire.Listener) error {
	posts := make([]*remotePost, l.spec.Nodes)
	for nid := 1; nid < l.spec.Nodes; nid++ {
		posts[nid] = newRemotePost(nid, l.spec.Hosts[nid].Name, t)
	}
	t.listener, t.dials = listener, func(coherence.NodeID) bool { return false }
	if err := t.start(func(n coherence.NodeID, text []byte, err error) { posts[n].words <- word{text, err} }); err != nil {
		t.closeAll()
		return err
	}
	l.talk = t
	for nid, p := range posts[1:] {
		l.nodes[nid+1] = &child{post: p, nid: nid + 1}
	}
	return nil
}

func jobID(id string) (out [16]byte) {
	b, _ := hex.DecodeString(id) // ours
	copy(out[:], b)
	return out
}

// hello is how a process of the job introduces itself as its node.
func hello(cfg *config) wire.Hello {
	return wire.Hello{Job: jobID(cfg.Job), Node: uint16(cfg.Node), Secret: cfg.Secret, Credentials: cfg.Credentials}
}

// remotePost is the way to a supervisor by its deputy.
type remotePost struct {
	nid   int
	name  string
	talk  *talk
	words chan word
	gone  chan struct{} // closed when receive has failed
}

// word is what a deputy says, or why it says nothing more.
type word struct {
	text []byte
	err  error
}

func newRemotePost(nid int, name string, t *talk) *remotePost {
	return &remotePost{nid: nid, name: name, talk: t, words: make(chan word, 64), gone: make(chan struct{})}
}

func (p *remotePost) send(m fromRun) { p.talk.say(p.nid, m) }

func (p *remotePost) receive(m *fromSupervisor) ([]int, error) {
	w := <-p.words
	if w.err == nil {
		w.err = decodeWord(w.text, m)
	}
	m.Keep = false // what is kept is kept there
	if w.err != nil {
		close(p.gone)
	}
	return nil, w.err
}

// end waits until the deputy has hung up, its part of the job ended: it has the
// same patience with its supervisor and its guest as we have with ours.
func (p *remotePost) end(deadline time.Time) {
	t := time.NewTimer(time.Until(deadline.Add(endPatience)))
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
	}
}

func (p *remotePost) elsewhere() bool { return true }

func (p *remotePost) hangUp() { p.talk.hangUp(p.nid) }

func (p *remotePost) release() {}

func (p *remotePost) died(how error) error {
	if errors.Is(how, io.EOF) {
		how = errors.New("its deputy has hung up")
	}
	return fmt.Errorf("node %d (%s) is lost: %w", p.nid, p.name, how)
}
