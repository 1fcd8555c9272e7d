package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// gossip is this node's part in telling each other who lives and what is new:
// package memberlist over connections of ours. It may be on or off.
type gossip struct {
	m    *membership
	id   *trust.Node
	name string
	log  *slog.Logger
	news chan struct{} // of who is in, not to wait for the next beat

	// sought is closed when those known have been sought once, or need not be.
	sought chan struct{}
	once   sync.Once

	mu   sync.Mutex
	talk *talk // nil while off
}

// talk is gossip that is on.
type talk struct {
	list  *memberlist.Memberlist
	road  *road
	queue *memberlist.TransmitLimitedQueue
	over  context.CancelFunc
	wg    sync.WaitGroup // seek
}

func newGossip(m *membership, id *trust.Node, name string, log *slog.Logger) *gossip {
	return &gossip{m: m, id: id, name: name, log: log, news: make(chan struct{}, 1),
		sought: make(chan struct{})}
}

func (g *gossip) current() *talk {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.talk
}

// turn turns it on or off.
func (g *gossip) turn(ctx context.Context, on bool) error {
	t := g.current()
	switch {
	case on && t == nil && ctx.Err() == nil:
		return g.start(ctx)
	case !on && t != nil:
		g.stop()
	}
	if !on && g.m.rosterKnown() {
		g.once.Do(func() { close(g.sought) })
	}
	return nil
}

func (g *gossip) start(ctx context.Context) error {
	t := &talk{road: newRoad(g.id, g.m.address, g.log)}
	t.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: 4, NumNodes: g.m.size}
	var err error
	if t.list, err = memberlist.Create(g.config(t)); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	ctx, t.over = context.WithCancel(ctx)
	t.wg.Go(func() { g.seek(ctx, t) })
	g.mu.Lock()
	g.talk = t
	g.mu.Unlock()
	return nil
}

// goodbye bounds how long a node that ends tells others so.
const goodbye = 500 * time.Millisecond

// stop says goodbye and closes all connections.
func (g *gossip) stop() {
	g.mu.Lock()
	t := g.talk
	g.talk = nil
	g.mu.Unlock()
	if t == nil {
		return
	}
	t.over()
	t.list.Leave(min(goodbye, g.m.beat)) // who does not hear of it will miss us
	t.list.Shutdown()                    // its one error is logged by itself
	t.wg.Wait()
}

// maxPacket is more than any message of ours but a roster of a thousand, which then
// goes with the exchange of everything.
const maxPacket = 60000

// config is memberlist's for a local network, at our pace. Its own encryption,
// compression and addresses are not used: connections are ours, by name.
func (g *gossip) config(t *talk) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name, c.RequireNodeNames = g.name, true
	c.Transport, c.AdvertiseAddr, c.AdvertisePort = t.road, nowhere, 1
	c.EnableCompression = false
	c.UDPBufferSize = maxPacket
	c.ProbeInterval, c.ProbeTimeout = g.m.beat, g.m.beat/2
	c.GossipInterval, c.GossipToTheDeadTime, c.PushPullInterval = g.m.beat/5, 30*g.m.beat, 30*g.m.beat
	c.TCPTimeout = dialTimeout
	c.LogOutput, c.Logger = nil, log.New(&complaints{g.log}, "", 0)
	e := &ear{m: g.m, t: t, name: g.name, unknown: map[string]bool{}}
	c.Delegate, c.Alive, c.Events = e, e, e
	return c
}

// nowhere is the address all nodes have for memberlist.
const nowhere = "127.0.0.1"

// spread tells others what is new.
func (g *gossip) spread(news *api.Known) {
	t := g.current()
	if t == nil {
		return
	}
	if news.Roster != nil {
		t.tell("", &api.Known{Roster: news.Roster})
	}
	for _, s := range news.Statements {
		var st api.Statement
		if proto.Unmarshal(s.Statement, &st) == nil { // it was read before
			t.tell(st.Self.GetName(), &api.Known{Statements: []*api.SignedStatement{s}})
		}
	}
}

func (t *talk) tell(about string, k *api.Known) {
	if text, err := proto.Marshal(k); err == nil {
		t.queue.QueueBroadcast(rumour{about, text})
	}
}

// rumour is one message about a node, or about the roster. Queued, it takes the
// place of an older one.
type rumour struct {
	about string
	text  []byte
}

// Name implements memberlist.NamedBroadcast.
func (r rumour) Name() string { return "about " + r.about }

// Invalidates implements memberlist.Broadcast; Name does it.
func (r rumour) Invalidates(memberlist.Broadcast) bool { return false }

// Message implements memberlist.Broadcast.
func (r rumour) Message() []byte { return r.text }

// Finished implements memberlist.Broadcast.
func (r rumour) Finished() {}

// seek joins nodes that are in the cluster but not heard of: at the start, after a
// cut, and when they have been started again.
func (g *gossip) seek(ctx context.Context, t *talk) {
	tick := time.NewTicker(g.m.beat)
	defer tick.Stop()
	for n := 0; ; n++ {
		if lost := g.missing(); len(lost) > 0 && (n%5 == 0 || !g.m.views.anyAlive()) {
			t.list.Join([]string{lost[rand.IntN(len(lost))] + "/" + nowhere + ":1"}) // another time, if not now
		}
		g.once.Do(func() { close(g.sought) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.news:
			n = -1
		}
	}
}

func (g *gossip) missing() []string {
	var out []string
	for _, s := range g.m.current().Seats {
		if w, ok := g.m.views.of(s.Name); s.Name != g.name && !s.Left && (!ok || w.state == Unreachable) {
			out = append(out, s.Name)
		}
	}
	return out
}

// serve takes a connection of another node; it returns when that ends.
func (g *gossip) serve(c *tls.Conn, kind string) {
	if t := g.current(); t != nil {
		t.road.serve(c, kind)
	}
}

// ear is what memberlist calls when it hears something, and for what to say.
type ear struct {
	m    *membership
	t    *talk
	name string // of this node

	mu      sync.Mutex
	unknown map[string]bool // who is not on the roster
}

// NodeMeta implements memberlist.Delegate: what nodes are, their statements say.
func (e *ear) NodeMeta(int) []byte { return nil }

// NotifyMsg implements memberlist.Delegate.
func (e *ear) NotifyMsg(text []byte) { e.hear(text) }

// GetBroadcasts implements memberlist.Delegate.
func (e *ear) GetBroadcasts(overhead, limit int) [][]byte {
	return e.t.queue.GetBroadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate.
func (e *ear) LocalState(bool) []byte {
	text, err := proto.Marshal(e.m.known())
	if err != nil {
		e.m.log.Error("others are not told what is known", "err", err)
	}
	return text
}

// MergeRemoteState implements memberlist.Delegate.
func (e *ear) MergeRemoteState(text []byte, _ bool) { e.hear(text) }

func (e *ear) hear(text []byte) {
	var k api.Known
	err := proto.Unmarshal(text, &k)
	if err == nil {
		err = e.m.learn(&k)
	}
	if err != nil {
		e.m.log.Warn("not believed what a node told of others", "err", err)
	}
}

// NotifyJoin implements memberlist.EventDelegate.
func (e *ear) NotifyJoin(n *memberlist.Node) { e.m.views.set(n.Name, Alive) }

// NotifyLeave implements memberlist.EventDelegate.
func (e *ear) NotifyLeave(n *memberlist.Node) { e.m.views.set(n.Name, Unreachable) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e *ear) NotifyUpdate(*memberlist.Node) {}

// maxUnknown is how many nodes may be heard of before the roster that has them.
const maxUnknown = 64

// NotifyAlive implements memberlist.AliveDelegate: who has left is not alive. A node
// that was removed still knows itself: memberlist's Leave counts on it.
func (e *ear) NotifyAlive(peer *memberlist.Node) error {
	if peer.Name == e.name {
		return nil
	}
	in, left := e.m.has(peer.Name)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case left:
		return errors.New("it has left the cluster")
	case !in && !e.unknown[peer.Name] && len(e.unknown) >= maxUnknown:
		return errors.New("nobody knows it")
	case !in:
		e.unknown[peer.Name] = true
	default:
		delete(e.unknown, peer.Name)
	}
	return nil
}

// complaints passes on what memberlist logs: single failures are its daily life.
type complaints struct{ log *slog.Logger }

// Write implements io.Writer for one line.
func (c *complaints) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "] ")
	if !ok {
		rest = text
	}
	at := slog.LevelDebug
	if level == "INFO" {
		at = slog.LevelInfo
	}
	c.log.Log(context.Background(), at, strings.TrimPrefix(rest, "memberlist: "))
	return len(line), nil
}
