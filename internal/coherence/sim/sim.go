package sim

import (
	"container/heap"
	"fmt"
	"strings"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/vm"
)

// header is the size of a message without payload, in bytes.
const header = 32

// Config describes a simulated job. Zero fields get defaults.
type Config struct {
	Nodes     int           // 2 to 1000; default 2
	Pages     int           // pages each pattern works on, at most a chunk's; default 256
	Rounds    int           // turns of the patterns that take turns; default 20
	MaxRun    uint32        // read-ahead in pages; default 16
	Latency   time.Duration // of a message; default 30 us
	Bandwidth float64       // bytes per second of a link; default 1e9
	Touch     time.Duration // an access that does not fault; default 100 ns
	HoldBase  time.Duration // minimum hold time; default 100 us
	HoldMax   time.Duration // default 800 us
	Patterns  []string      // default: all
}

func (c Config) withDefaults() Config {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	wait := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	set(&c.Nodes, 2)
	c.Nodes = min(max(c.Nodes, 2), 1000)
	set(&c.Pages, 256)
	c.Pages = min(c.Pages, vm.ChunkPages)
	set(&c.Rounds, 20)
	if c.MaxRun == 0 {
		c.MaxRun = 16
	}
	wait(&c.Latency, 30*time.Microsecond)
	wait(&c.Touch, 100*time.Nanosecond)
	wait(&c.HoldBase, 100*time.Microsecond)
	wait(&c.HoldMax, 800*time.Microsecond)
	if c.Bandwidth == 0 {
		c.Bandwidth = 1e9
	}
	if len(c.Patterns) == 0 {
		c.Patterns = Patterns
	}
	return c
}

// Row is what one pattern cost.
type Row struct {
	Pattern    string
	Nodes      int
	Accesses   uint64
	Faults     uint64 // that needed home, wherever they were
	Messages   uint64
	Bytes      uint64
	AtHome     uint64        // messages home received: its share of the work
	FaultTime  time.Duration // sum over the faults, until the thread went on
	Time       time.Duration // simulated, until all threads were done
	Unfinished int           // threads that never got their page; 0 or it is a bug
}

func (r Row) per(x uint64) float64 { return float64(x) / float64(max(1, r.Faults)) }

// Report is a row per pattern.
type Report struct{ Rows []Row }

// String is a table for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %5s %9s %8s %9s %11s %9s %10s %10s %10s\n", "pattern", "nodes", "accesses",
		"faults", "messages", "bytes", "msg/fault", "byte/fault", "us/fault", "total ms")
	for _, w := range r.Rows {
		mean := float64(w.FaultTime.Nanoseconds()) / 1e3 / float64(max(1, w.Faults))
		fmt.Fprintf(&b, "%-18s %5d %9d %8d %9d %11d %9.2f %10.0f %10.1f %10.2f\n", w.Pattern, w.Nodes, w.Accesses,
			w.Faults, w.Messages, w.Bytes, w.per(w.Messages), w.per(w.Bytes), mean, float64(w.Time.Nanoseconds())/1e6)
	}
	return b.String()
}

// Run simulates the patterns one after the other, each from a fresh start.
func Run(c Config) Report {
	c = c.withDefaults()
	var r Report
	for _, p := range c.Patterns {
		r.Rows = append(r.Rows, newNet(c, p).run(build(p, c)))
	}
	return r
}

// net is the simulated cluster.
type net struct {
	cfg    Config
	now    time.Duration
	queue  events
	serial uint64
	nodes  []*host
	free   map[[2]coherence.NodeID]time.Duration // when a link is free again
	row    Row
	batch  []coherence.Effect
	tickAt time.Duration
}

type host struct {
	id      coherence.NodeID
	m       *coherence.Machine
	modes   map[vm.Page]coherence.Mode
	todo    []access
	blocked bool
	since   time.Duration
}

func newNet(c Config, pattern string) *net {
	n := &net{cfg: c, free: map[[2]coherence.NodeID]time.Duration{}, row: Row{Pattern: pattern, Nodes: c.Nodes}}
	for i := range c.Nodes {
		cc := coherence.Config{Self: coherence.NodeID(i), MaxRun: c.MaxRun, HoldBase: c.HoldBase, HoldMax: c.HoldMax}
		if i == 0 && pattern == "private" {
			cc.Untouched = func(p vm.Page) (vm.Run, bool) {
				return vm.Run{First: p.Chunk().Page(), N: vm.ChunkPages}, true
			}
		}
		n.nodes = append(n.nodes, &host{id: cc.Self, m: coherence.New(cc), modes: map[vm.Page]coherence.Mode{}})
	}
	return n
}

func (n *net) run(phases []phase) Row {
	for _, p := range phases {
		for _, h := range n.nodes {
			if h.todo = p[h.id]; len(h.todo) > 0 {
				n.at(n.now, event{kind: evThread, host: h})
			}
		}
		n.drainQueue()
		for _, h := range n.nodes {
			if len(h.todo) > 0 {
				n.row.Unfinished++
			}
		}
	}
	n.row.Time = n.now
	for _, h := range n.nodes {
		s := h.m.Stats()
		n.row.Faults += s.ReadFaults + s.WriteFaults + s.UpgradeFaults
	}
	return n.row
}

func (n *net) drainQueue() {
	for len(n.queue) > 0 {
		e := heap.Pop(&n.queue).(event)
		n.now = max(n.now, e.at)
		switch e.kind {
		case evThread:
			n.thread(e.host)
		case evMessage:
			if e.host.id == coherence.Home {
				n.row.AtHome++
			}
			e.host.m.Receive(n.now, e.from, e.msg)
			n.effects(e.host)
		case evTick:
			n.tickAt = 0
			e.host.m.Tick(n.now)
			n.effects(e.host)
		}
	}
}

// thread does what it can until it faults, a little at a time so that others
// may take its pages in between.
func (n *net) thread(h *host) {
	for step := 0; len(h.todo) > 0; step++ {
		a := h.todo[0]
		if !h.allows(a) {
			h.blocked, h.since = true, n.now
			h.m.Fault(n.now, a.page, a.how, a.want)
			n.effects(h)
			return
		}
		h.todo = h.todo[1:]
		n.row.Accesses++
		if step == 9 {
			n.at(n.now+10*n.cfg.Touch, event{kind: evThread, host: h})
			return
		}
	}
}

func (h *host) allows(a access) bool {
	mode, known := h.modes[a.page]
	if !known && h.id == coherence.Home {
		mode = coherence.Exclusive
	}
	return mode == coherence.Exclusive || mode == coherence.Shared && a.how == coherence.Read
}

// effects plays the shell.
func (n *net) effects(h *host) {
	for {
		n.batch = h.m.Drain(n.batch[:0])
		if len(n.batch) == 0 {
			break
		}
		for _, e := range n.batch {
			n.execute(h, e)
		}
	}
	if at, ok := h.m.Deadline(); ok && (n.tickAt == 0 || at < n.tickAt) {
		n.tickAt = at
		n.at(at, event{kind: evTick, host: h})
	}
}

func (n *net) execute(h *host, e coherence.Effect) {
	switch e.Kind {
	case coherence.Send:
		n.send(h, e.To, e.Msg)
	case coherence.SendData:
		left := coherence.Shared
		if e.Op == coherence.Take {
			left = coherence.Invalid
		}
		h.set(e.Page, e.N, left)
		n.send(h, e.To, e.Msg)
	case coherence.Install, coherence.InstallZero:
		h.set(e.Page, e.N, e.Mode)
		n.wake(h)
	case coherence.Unprotect:
		h.set(e.Page, e.N, coherence.Exclusive)
		n.wake(h)
	case coherence.Drop:
		h.set(e.Page, e.N, coherence.Invalid)
	case coherence.Wake:
		n.wake(h)
	}
}

func (h *host) set(p vm.Page, count uint32, mode coherence.Mode) {
	for i := range count {
		h.modes[p+vm.Page(i)] = mode
	}
}

// wake lets the thread go on if what it waits for is there.
func (n *net) wake(h *host) {
	if h.blocked && len(h.todo) > 0 && h.allows(h.todo[0]) {
		h.blocked = false
		n.row.FaultTime += n.now - h.since
		n.at(n.now+n.cfg.Touch, event{kind: evThread, host: h})
	}
}

func (n *net) send(h *host, to coherence.NodeID, msg coherence.Msg) {
	size := header
	if msg.HasData() {
		size += int(msg.N) * vm.PageSize
	}
	n.row.Messages++
	n.row.Bytes += uint64(size)
	link := [2]coherence.NodeID{h.id, to}
	sent := max(n.now, n.free[link]) + time.Duration(float64(size)/n.cfg.Bandwidth*1e9)
	n.free[link] = sent
	n.at(sent+n.cfg.Latency, event{kind: evMessage, host: n.nodes[to], from: h.id, msg: msg})
}
