package coherence

import (
	"fmt"
	"time"

	"popcorn/internal/vm"
)

const (
	maxPage  = vm.Page(1) << 52 // one past the last page number
	maxGrant = 1 << 15          // most pages in one grant of zeros
)

// Machine is one node's part of the law. It is not safe for concurrent use.
type Machine struct {
	cfg  Config
	now  time.Duration
	out  []Effect
	sent int   // how many of out have been drained
	self []Msg // messages from home to itself, handled before a step ends
	// passed is home's transactions that end when out has been executed.
	passed, spare []uint64
	stats         Stats

	// The cache: what this node has.
	modes     table[Mode] // at a remote; home's are in the directory
	pend      []pending   // outstanding requests, few: one per faulting thread at most
	cancelled map[uint64]struct{}

	// The directory, at home only.
	dir     table[entry]
	txns    map[uint64]*txn
	lastID  uint64
	queued  map[NodeID]int // requests and transactions by node
	holds   []*hold        // in order of arrival
	timers  timers
	freeTxn []*txn
	freeBsy []*busy
	// Of this step: nodes that Config.Idle was asked about, and those that are.
	judged, idlers nodeSet

	// With Config.Verify: entries touched since the last look at them, and how
	// much could have been looked at since all were.
	touched   []vm.Page
	unchecked int
}

// New makes the machine of node cfg.Self.
func New(cfg Config) *Machine {
	if cfg.MaxRun == 0 {
		cfg.MaxRun = 64
	}
	cfg.MaxRun = min(cfg.MaxRun, maxGrant)
	if cfg.MaxPending == 0 {
		cfg.MaxPending = 8192
	}
	cfg.HoldMax = max(cfg.HoldMax, cfg.HoldBase)
	m := &Machine{cfg: cfg}
	if m.home() {
		m.dir = newTable[entry]()
		m.txns = make(map[uint64]*txn)
		m.queued = make(map[NodeID]int)
	} else {
		m.modes = newTable[Mode]()
	}
	return m
}

func (m *Machine) home() bool { return m.cfg.Self == Home }

// Fault tells that a local thread faulted on page. Up to want pages from page
// on may be brought along; only the first must.
func (m *Machine) Fault(now time.Duration, page vm.Page, a Access, want uint32) {
	m.FaultFor(now, m.cfg.Self, page, a, want)
}

// FaultFor is Fault, at home, by a thread that makes a call for one of node of, which
// waits for it: nothing there needs to be given time with the page. Elsewhere of means
// nothing.
func (m *Machine) FaultFor(now time.Duration, of NodeID, page vm.Page, a Access, want uint32) {
	m.begin(now)
	if page < maxPage {
		m.fault(of, page, a, want)
	}
	m.end()
}

// Receive takes a message that node from sent. If it HasData and is accepted,
// an Install effect follows before the next call; otherwise the payload is to
// be discarded.
func (m *Machine) Receive(now time.Duration, from NodeID, msg Msg) {
	m.begin(now)
	if from == m.cfg.Self || !wellFormed(msg) {
		m.stats.Protocol++
	} else {
		m.receive(from, msg)
	}
	m.end()
}

// Tick lets time pass: waits that ended by now end.
func (m *Machine) Tick(now time.Duration) {
	m.begin(now)
	for {
		page, ok := m.timers.due(m.now)
		if !ok {
			break
		}
		if e := m.dir.peek(page); e != nil && e.busy != nil {
			e.busy.timed = false
			m.stir(page)
		}
	}
	m.end()
}

// Deadline is when Tick has something to do next.
func (m *Machine) Deadline() (time.Duration, bool) { return m.timers.first() }

// Drain appends effects to be executed, in order, to dst and forgets them. Call
// it until it appends nothing: it stops after an effect whose failure would
// change what follows.
func (m *Machine) Drain(dst []Effect) []Effect {
	if m.sent == len(m.out) && len(m.passed) > 0 {
		m.pass()
	}
	for m.sent < len(m.out) {
		e := m.out[m.sent]
		m.sent++
		dst = append(dst, e)
		if e.mayFail() && !m.home() {
			return dst
		}
	}
	m.out, m.sent = m.out[:0], 0
	return dst
}

// begin and end frame every step from outside.
func (m *Machine) begin(now time.Duration) {
	m.now = max(m.now, now)
	m.judged, m.idlers = nodeSet{}, nodeSet{}
}

func (m *Machine) end() {
	for more := true; more; more = m.releaseOne() {
		for i := 0; i < len(m.self); i++ {
			m.receive(m.cfg.Self, m.self[i])
		}
		m.self = m.self[:0]
	}
	if m.cfg.Verify {
		if err := m.verify(); err != nil {
			panic(fmt.Sprintf("coherence at %v: %v", m.cfg.Self, err))
		}
	}
}

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

// send sends a message without data; home's messages to itself never leave.
func (m *Machine) send(to NodeID, msg Msg) {
	if to == m.cfg.Self {
		m.self = append(m.self, msg)
		return
	}
	m.emit(Effect{Kind: Send, To: to, Page: msg.Page, N: msg.N, Msg: msg})
}

// wellFormed rejects what no machine ever sends, whatever its state.
func wellFormed(msg Msg) bool {
	return msg.Kind > 0 && msg.Kind < lastKind && msg.Mode <= Exclusive &&
		msg.N > 0 && msg.N <= maxGrant && msg.Page < maxPage && msg.Page+vm.Page(msg.N) <= maxPage
}

func (m *Machine) receive(from NodeID, msg Msg) {
	ok := false
	switch msg.Kind {
	case Request:
		ok = m.home() && m.onRequest(from, msg)
	case Installed:
		ok = m.home() && m.onInstalled(from, msg)
	case Invalidated:
		ok = m.home() && m.onInvalidated(from, msg)
	case Gone:
		ok = m.home() && m.onGone(from, msg)
	case Unplaced:
		ok = m.home() && from != Home && m.onUnplaced(from, msg)
	case Grant:
		ok = m.onGrant(from, msg)
	case Fetch:
		ok = from == Home && m.onFetch(msg)
	case Upgrade:
		ok = from == Home && m.onUpgrade(msg)
	case Invalidate:
		ok = from == Home && m.onInvalidate(msg)
	case Settled, NoMapping:
		ok = from == Home && m.onRefusal(msg)
	}
	if !ok {
		m.stats.Protocol++
	}
}
