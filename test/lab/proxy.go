package lab

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Direction is a way through a proxy.
type Direction int

// The two ways.
const (
	Forward  Direction = iota // from who connected to the target
	Backward                  // from the target
)

// Proxy forwards connections made to it to a target, and does to them what it
// is told, at once and to those that exist too. What a cut withholds arrives
// after Heal, as on a network that mends; ends and resets of connections are
// withheld like data. It accepts also while cut: where a connection must not
// come about, use Lab.Cut.
type Proxy struct {
	host   *Host
	target string
	l      net.Listener
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each change of cut
	cut     [2]bool
	delay   [2]time.Duration
	share   float64
	random  *rand.Rand
	dropped int
	links   map[*link]bool
}

// Proxy starts one that listens on a host and reaches the target from there.
// An address without a host part is the host's own. The lab closes it.
func (l *Lab) Proxy(h *Host, listen, target string) *Proxy {
	l.t.Helper()
	listener, err := h.Listen("tcp", listen)
	l.must(err)
	p := &Proxy{host: h, target: h.local(target), l: listener, changed: make(chan struct{}), links: map[*link]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.all.Go(p.accept)
	l.mu.Lock()
	l.proxies = append(l.proxies, p)
	l.mu.Unlock()
	return p
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Close resets all connections and waits for the end of all it has started.
func (p *Proxy) Close() {
	p.cancel()
	p.l.Close()
	p.Reset()
	p.all.Wait()
}

// Cut withholds what goes the given ways, all without any.
func (p *Proxy) Cut(ways ...Direction) {
	if len(ways) == 0 {
		ways = []Direction{Forward, Backward}
	}
	p.setCut(true, ways...)
}

// Heal lets everything pass again.
func (p *Proxy) Heal() { p.setCut(false, Forward, Backward) }

func (p *Proxy) setCut(on bool, ways ...Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range ways {
		p.cut[w] = on
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// Delay makes what comes from now on take d longer. Order is kept.
func (p *Proxy) Delay(way Direction, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay[way] = d
}

// Drop resets a share of the connections made from now on, as they are
// accepted; which ones, the seed decides.
func (p *Proxy) Drop(share float64, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share, p.random = share, rand.New(rand.NewPCG(seed, 0))
}

// Dropped is how many connections Drop has reset.
func (p *Proxy) Dropped() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

// Reset breaks all connections, for both ends, whatever is cut or delayed.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		k.reset()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return // closed
		}
		client := c.(*net.TCPConn)
		if p.drops() {
			reset(client)
			continue
		}
		p.all.Go(func() { p.forward(client) })
	}
}

func (p *Proxy) drops() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.random == nil || p.random.Float64() >= p.share {
		return false
	}
	p.dropped++
	return true
}

// forward reaches the target and moves data until both ways have ended.
func (p *Proxy) forward(client *net.TCPConn) {
	server, err := p.host.Dial(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	k := &link{proxy: p, ends: [2]*net.TCPConn{client, server.(*net.TCPConn)}, broken: make(chan struct{})}
	if !p.add(k) {
		k.reset()
		return
	}
	var ways sync.WaitGroup
	for _, w := range []Direction{Forward, Backward} {
		ways.Go(func() { k.move(w) })
	}
	ways.Wait()
	p.remove(k)
}

// add is false when the proxy was closed meanwhile.
func (p *Proxy) add(k *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[k] = true
	return p.ctx.Err() == nil
}

func (p *Proxy) remove(k *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, k)
	for _, c := range k.ends {
		c.Close()
	}
}

// state is what holds for one way now; ask again when changed is closed.
func (p *Proxy) state(way Direction) (cut bool, delay time.Duration, changed chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut[way], p.delay[way], p.changed
}
