package coherence

import (
	"time"

	"popcorn/internal/vm"
)

// hold keeps pages at home for a while. It takes all its spans at once, when no
// hold that came before it and excludes it overlaps them; since it then waits
// only for transactions, which wait for nobody, holds cannot deadlock.
type hold struct {
	id     uint64
	spans  []span
	want   Mode // what home must have
	forget bool // what others have is dropped, not fetched
	active bool // its spans are taken: no new transaction but its own there
	held   bool
	// Release was called; a hold that is active still has to come to rest
	abandoned bool
	pending   map[vm.Page]struct{} // pages known when it became active that still miss something
}

func (h *hold) overlaps(s span) bool {
	for _, o := range h.spans {
		if o.overlaps(s) {
			return true
		}
	}
	return false
}

func (h *hold) has(p vm.Page) bool {
	for _, s := range h.spans {
		if s.has(p) {
			return true
		}
	}
	return false
}

func (h *hold) waitsFor(p vm.Page) bool {
	_, ok := h.pending[p]
	return ok
}

// excludes tells whether o must wait until h is released.
func (h *hold) excludes(o *hold) bool {
	if h.shared() && o.shared() {
		return false
	}
	for _, s := range o.spans {
		if h.overlaps(s) {
			return true
		}
	}
	return false
}

func (h *hold) shared() bool { return h.want == Shared && !h.forget }

// barred tells whether a hold keeps requests for want away from p.
func (m *Machine) barred(p vm.Page, want Mode) bool {
	for _, h := range m.holds {
		if h.active && h.has(p) && !(h.shared() && h.held && want == Shared) {
			return true
		}
	}
	return false
}

// Hold brings the pages of runs home and keeps them there until Release(id):
// for Read home has a copy and nobody becomes Exclusive, for Write home is
// Exclusive. Effect Held says when. Ids must be unique among live holds. A
// thread must take all it needs in one hold: a hold waits for earlier ones.
func (m *Machine) Hold(now time.Duration, id uint64, runs []vm.Run, a Access) {
	m.addHold(now, &hold{id: id, spans: spansOf(runs), want: a.mode()})
}

// HoldAll is Hold for the whole address space.
func (m *Machine) HoldAll(now time.Duration, id uint64, a Access) {
	m.addHold(now, &hold{id: id, spans: []span{{0, maxPage}}, want: a.mode()})
}

// Forget makes every other node drop what it has of runs, without keeping it,
// and locks the runs until Release(id), after which home owns them as if nobody
// had ever wanted them. It is for memory whose content ends (munmap,
// MADV_DONTNEED); where content stays and only rights go (mprotect), Hold for
// Write. The cost follows the pages that were ever wanted, not the length.
func (m *Machine) Forget(now time.Duration, id uint64, runs []vm.Run) {
	m.addHold(now, &hold{id: id, spans: spansOf(runs), want: Exclusive, forget: true})
}

func spansOf(runs []vm.Run) []span {
	list := make([]span, 0, len(runs))
	for _, r := range runs {
		if r.N > 0 && r.First < maxPage {
			list = append(list, span{r.First, min(r.End(), maxPage)})
		}
	}
	return list
}

func (m *Machine) addHold(now time.Duration, h *hold) {
	m.begin(now)
	if m.home() {
		m.stats.Holds++
		m.holds = append(m.holds, h)
		m.activate()
	}
	m.end()
}

// activate starts the holds that no earlier one excludes.
func (m *Machine) activate() {
	for i, h := range m.holds {
		if h.active || excluded(m.holds[:i], h) {
			continue
		}
		h.active = true
		h.pending = make(map[vm.Page]struct{})
		var order []vm.Page
		for _, s := range h.spans {
			m.dir.each(s, func(p vm.Page, e *entry) {
				if e.known && (e.locked() || h.misses(e)) && !h.waitsFor(p) {
					h.pending[p] = struct{}{}
					order = append(order, p)
				}
			})
		}
		for _, p := range order {
			m.pursue(h, p)
		}
		m.settle(h)
	}
}

func excluded(before []*hold, h *hold) bool {
	for _, o := range before {
		if o.excludes(h) {
			return true
		}
	}
	return false
}

// misses tells whether the page is not yet as the hold wants it.
func (h *hold) misses(e *entry) bool {
	if !h.forget {
		return e.at(Home) < h.want
	}
	n := e.holders().len()
	if e.at(Home) != Invalid {
		n--
	}
	return n > 0
}

// pursue takes the next step for a page of the hold, if it can be taken now.
func (m *Machine) pursue(h *hold, p vm.Page) {
	e := m.view(p)
	if !h.waitsFor(p) || e.locked() {
		return
	}
	if !h.misses(e) {
		delete(h.pending, p)
		m.settle(h)
		return
	}
	r := vm.Run{First: p, N: uint32(min(vm.Page(m.cfg.MaxRun), maxPage-p))}
	if h.forget {
		r.N = m.forgetExtent(h, r)
		m.start(txn{by: Home, act: actForget, run: r, asked: p, unasked: true})
		return
	}
	if until, wait := m.guarded(e, Home, Home, h.want); wait {
		m.alarm(p, until)
		return
	}
	pl := planFor(e, Home, h.want)
	r.N = m.extent(r, Home, Home, h.want, pl, h)
	m.start(txn{by: Home, want: h.want, act: pl.act, src: pl.src, run: r, asked: p, unasked: true})
}

// forgetExtent is how many pages the same nodes have to drop.
func (m *Machine) forgetExtent(h *hold, r vm.Run) uint32 {
	first := m.view(r.First)
	who := first.holders()
	for n := uint32(1); n < r.N; n++ {
		p := r.First + vm.Page(n)
		e := m.view(p)
		if e.locked() || !h.waitsFor(p) || !h.misses(e) || !e.holders().equal(who) {
			return n
		}
	}
	return r.N
}

// settle says so, once, when nothing is missing.
func (m *Machine) settle(h *hold) {
	if h.held || !h.active || len(h.pending) > 0 {
		return
	}
	h.held, h.pending = true, nil
	if h.abandoned {
		return // the end of the step releases it
	}
	m.emit(Effect{Kind: Held, ID: h.id})
	if h.shared() { // readers may go on
		m.stirSpans(h.spans)
	}
}

// Release ends the hold; requests that waited for it are served. A hold that is
// released before Held is given up: there will be no Held.
func (m *Machine) Release(now time.Duration, id uint64) {
	m.begin(now)
	for i, h := range m.holds {
		if h.id != id || h.abandoned {
			continue
		}
		if h.abandoned = true; !h.active {
			m.holds = append(m.holds[:i], m.holds[i+1:]...)
			m.activate()
		}
		break
	}
	m.end()
}

// releaseOne ends a hold that was released and has come to rest.
func (m *Machine) releaseOne() bool {
	for i, h := range m.holds {
		if h.abandoned && h.held {
			m.holds = append(m.holds[:i], m.holds[i+1:]...)
			if h.forget {
				m.forgetSpans(h.spans)
			}
			m.activate()
			m.stirSpans(h.spans)
			return true
		}
	}
	return false
}

func (m *Machine) forgetSpans(spans []span) {
	for _, s := range spans {
		m.dir.each(s, func(p vm.Page, e *entry) {
			if e.known {
				m.forget(p)
			}
		})
	}
}

func (m *Machine) stirSpans(spans []span) {
	for _, s := range spans {
		m.dir.each(s, func(p vm.Page, e *entry) {
			if e.known && e.busy != nil && e.busy.t == nil {
				m.stir(p)
			}
		})
	}
}

// Push sends pages to a node that did not ask for them but is about to need
// them: a migrating thread brings its stack along. Pages that are busy, not at
// home or there already are passed over.
func (m *Machine) Push(now time.Duration, to NodeID, run vm.Run, a Access) {
	m.begin(now)
	if m.home() && to != Home && run.First < maxPage && run.End() <= maxPage {
		m.pushRun(to, run, a.mode())
	}
	m.end()
}
