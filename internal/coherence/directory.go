package coherence

import (
	"time"

	"popcorn/internal/vm"
)

// onRequest queues or serves a request.
func (m *Machine) onRequest(from NodeID, msg Msg) bool {
	if msg.Mode == Invalid {
		return false
	}
	w := waiter{from: from, of: from, n: min(msg.N, m.cfg.MaxRun), want: msg.Mode, copied: msg.Flags&Copied != 0}
	if from == Home {
		w.of = msg.Node
	}
	e := m.view(msg.Page)
	if e.busy == nil && !m.barred(msg.Page, w.want) {
		if m.queued[from] >= m.cfg.MaxPending && from != Home {
			return false
		}
		if wait := m.admit(msg.Page, w); wait > 0 {
			w.waited = true
			m.enqueue(msg.Page, w)
			m.alarm(msg.Page, wait)
		}
		return true
	}
	if !m.enqueue(msg.Page, w) {
		return false
	}
	if !e.locked() { // only a timer was set
		m.stir(msg.Page)
	}
	return true
}

// enqueue appends to the page's queue; a node has one request there at most.
func (m *Machine) enqueue(p vm.Page, w waiter) bool {
	if e := m.view(p); e.busy != nil {
		for _, o := range e.busy.queue {
			if o.from == w.from {
				return false
			}
		}
	}
	if m.queued[w.from] >= m.cfg.MaxPending && w.from != Home {
		return false
	}
	b := m.makeBusy(m.entry(p))
	b.queue = append(b.queue, w)
	m.queued[w.from]++
	return true
}

func (m *Machine) makeBusy(e *entry) *busy {
	if e.busy == nil {
		if n := len(m.freeBsy); n > 0 {
			e.busy, m.freeBsy = m.freeBsy[n-1], m.freeBsy[:n-1]
		} else {
			e.busy = new(busy)
		}
	}
	return e.busy
}

// alarm has the page looked at again at time at.
func (m *Machine) alarm(p vm.Page, at time.Duration) {
	e := m.entry(p)
	if b := m.makeBusy(e); !b.timed {
		b.timed = true
		m.timers.set(at, p)
	}
}

// admit decides on a request for an unlocked page. It is served, by a
// transaction or at once, or must wait until the time that is returned. That the
// requester claims a copy is not believed, it may have gone while the request
// travelled. But without one it is still about to get the copy that home has
// sent it, or cannot put it anywhere: it must ask again when it knows.
func (m *Machine) admit(p vm.Page, w waiter) time.Duration {
	e := m.view(p)
	pl := planFor(e, w.from, w.want)
	if pl.done || pl.act == actUpgrade && !w.copied {
		m.send(w.from, Msg{Kind: Settled, Page: p, N: 1})
		return 0
	}
	if until, wait := m.guarded(e, w.from, w.of, w.want); wait {
		if !w.waited {
			m.stats.Waits++
			if e.heat < 32 {
				m.entry(p).heat++
			}
		}
		return until
	}
	if e.known {
		m.cool(e)
	}
	if m.grantUntouched(p, w) {
		return 0
	}
	r := vm.Run{First: p, N: uint32(min(vm.Page(w.n), maxPage-p))}
	if pl.act == actUpgrade {
		r.N = 1 // it only said that it has this one
	}
	r.N = m.extent(r, w.from, w.of, w.want, pl, nil)
	m.start(txn{by: w.from, want: w.want, act: pl.act, src: pl.src, run: r, asked: p})
	return 0
}

// grantUntouched gives a writer the whole of a run nobody ever used.
func (m *Machine) grantUntouched(p vm.Page, w waiter) bool {
	if m.cfg.Untouched == nil || w.want != Exclusive || w.from == Home || m.dirty(p.Chunk()) {
		return false
	}
	r, ok := m.cfg.Untouched(p)
	if !ok || !r.Contains(p) || r.N > maxGrant || r.End() > maxPage || r.End() < r.First {
		return false
	}
	for c := r.First.Chunk(); c <= (r.End() - 1).Chunk(); c++ {
		if m.dirty(c) {
			return false
		}
	}
	s := span{r.First, r.End()}
	for _, h := range m.holds {
		if h.active && h.overlaps(s) {
			return false
		}
	}
	m.stats.ZeroGrants++
	m.start(txn{by: w.from, want: Exclusive, act: actTake, src: Home, run: r, asked: p, zero: true})
	return true
}

// dirty tells whether the directory knows anything in the chunk but the queue
// entry of the request being looked at.
func (m *Machine) dirty(c vm.Chunk) bool {
	k := m.dir.chunk(c)
	return k != nil && k.used > 0
}

// reset gives a page without holders back to home: it has no content any more.
func (m *Machine) reset(e *entry) {
	e.mode, e.owner, e.sharers, e.home = Exclusive, Home, nodeSet{}, Exclusive
}

// stir looks at an unlocked page again: holds first, then the queue in order.
func (m *Machine) stir(p vm.Page) {
	for _, h := range m.holds {
		if h.active && !h.held {
			m.pursue(h, p)
		}
	}
	for {
		e := m.dir.peek(p)
		if e == nil || e.busy == nil || e.busy.t != nil {
			return
		}
		b := e.busy
		if len(b.queue) == 0 {
			if !b.timed {
				e.busy = nil
				*b = busy{queue: b.queue[:0]}
				m.freeBsy = append(m.freeBsy, b)
				m.tidy(p)
			}
			return
		}
		w := b.queue[0]
		if m.barred(p, w.want) {
			return
		}
		if wait := m.admit(p, w); wait > 0 {
			b.queue[0].waited = true
			m.alarm(p, wait)
			return
		}
		copy(b.queue, b.queue[1:])
		b.queue = b.queue[:len(b.queue)-1]
		m.queued[w.from]--
	}
}
