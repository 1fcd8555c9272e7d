package coherence

import (
	"time"

	"popcorn/internal/vm"
)

// action is how a transaction moves a page.
type action uint8

const (
	actCopy    action = iota // the source sends data and keeps a copy
	actTake                  // the source sends data and keeps nothing
	actUpgrade               // the requester has the bytes
	actForget                // everybody but home drops it; nobody gets anything
)

// plan is what it takes to give a page to a node.
type plan struct {
	done   bool // it has it
	act    action
	src    NodeID
	third  bool // nodes other than home, source and requester lose their copy
	myCopy bool // home's copy is dropped without being read
	taken  Mode // what the source loses from: its mode before
}

func planFor(e *entry, by NodeID, want Mode) plan {
	if e.at(by) >= want {
		return plan{done: true}
	}
	src := e.source()
	p := plan{src: src, taken: e.at(src)}
	if want == Shared {
		return p
	}
	p.act = actTake
	losers := e.holders().len()
	if e.at(by) == Shared {
		p.act, p.src, p.taken = actUpgrade, by, Shared
	}
	losers-- // the source or the requester
	if p.src != Home && by != Home && e.at(Home) != Invalid {
		p.myCopy = true
		losers--
	}
	p.third = losers > 0
	return p
}

// guarded is the entry's guarded, but for nodes that have nothing running which
// could use the page, and the one that it is wanted for: taking it from there costs
// nobody progress.
func (m *Machine) guarded(e *entry, by, of NodeID, want Mode) (time.Duration, bool) {
	until, wait := e.guarded(by, want, m.now)
	if !wait || e.last != anyNode {
		return until, wait && e.last != of && !m.idle(e.last)
	}
	holders := e.holders()
	for n, ok := holders.next(0); ok; n, ok = holders.next(int(n) + 1) {
		if n != by && n != of && !m.idle(n) {
			return until, true
		}
	}
	return until, false
}

// idle tells whether nothing runs at n. It is asked once a step.
func (m *Machine) idle(n NodeID) bool {
	if m.cfg.Idle == nil {
		return false
	}
	if !m.judged.has(n) {
		m.judged.add(n)
		if m.cfg.Idle(n) {
			m.idlers.add(n)
		}
	}
	return m.idlers.has(n)
}

// guarded tells until when the page must stay where it is: a node that just
// got it must have time to use it, or two writers take it from each other for
// ever without executing an instruction.
func (e *entry) guarded(by NodeID, want Mode, now time.Duration) (time.Duration, bool) {
	if now >= e.until || e.last == by {
		return 0, false
	}
	if e.mode == Exclusive {
		return e.until, e.owner != by && (e.last == e.owner || e.last == anyNode)
	}
	if want != Exclusive {
		return 0, false
	}
	others := e.sharers.len()
	if e.sharers.has(by) {
		others--
	}
	return e.until, others > 0 && (e.last == anyNode || e.sharers.has(e.last))
}

// guard starts the minimum hold time of a page granted to n.
func (m *Machine) guard(e *entry, n NodeID) {
	if m.cfg.HoldBase == 0 {
		return
	}
	last := n
	if m.now < e.until && e.last != n && e.mode == Shared {
		last = anyNode // the guard of the one before is still running
	}
	e.last, e.until = last, max(e.until, m.now+m.holdTime(e.heat))
}

func (m *Machine) holdTime(heat uint8) time.Duration {
	d := m.cfg.HoldBase
	for ; heat > 0 && d < m.cfg.HoldMax; heat-- {
		d *= 2
	}
	return min(d, m.cfg.HoldMax)
}

// cool lets a page's heat decay by one for every four hold times of calm.
func (m *Machine) cool(e *entry) {
	for e.heat > 0 {
		calm := 4 * m.holdTime(e.heat)
		if m.now-e.until < calm {
			return
		}
		e.heat--
		e.until += calm
	}
}

// extent is how many pages from r.First on can be granted in one transaction:
// those that need exactly what the first needs, and nobody else's leave. A hold
// h takes only pages it waits for, and may take them from the same third nodes.
func (m *Machine) extent(r vm.Run, by, of NodeID, want Mode, first plan, h *hold) uint32 {
	if first.third && h == nil {
		return 1
	}
	for n := uint32(1); n < r.N; n++ {
		p := r.First + vm.Page(n)
		e := m.view(p)
		if h == nil && (e.busy != nil || m.barred(p, want)) {
			return n
		}
		if h != nil && (e.locked() || !h.waitsFor(p)) {
			return n
		}
		pl := planFor(e, by, want)
		if first.src == Home && first.act == actCopy {
			pl.taken = first.taken // one write-protect serves both
		}
		if _, wait := m.guarded(e, by, of, want); pl != first || wait {
			return n
		}
		if first.third && !e.holders().equal(m.view(r.First).holders()) {
			return n
		}
	}
	return r.N
}
