package coherence

import (
	"slices"
	"time"

	"popcorn/internal/vm"
)

// Lost tells home that node n is dead and that nothing sent by it will be
// received any more. It returns the runs whose only copy was there or on the
// way there; home owns them now, without content, and the shell decides what
// becomes of the job.
func (m *Machine) Lost(now time.Duration, n NodeID) []vm.Run {
	m.begin(now)
	var lost []vm.Page
	if m.home() && n != Home {
		lost = m.bury(n)
		delete(m.queued, n)
	}
	m.end()
	return runsOf(lost)
}

// Needs tells which pages would be lost with node n now: those whose only copy is
// there or on the way there or from there.
func (m *Machine) Needs(n NodeID) []vm.Run {
	var needed []vm.Page
	m.dir.each(span{0, maxPage}, func(p vm.Page, e *entry) {
		if e.known && (e.locked() && e.busy.t.involves(n) || e.at(n) != Invalid && e.holders().len() == 1) {
			needed = append(needed, p)
		}
	})
	return runsOf(needed)
}

// bury takes the dead out of queues and entries before it ends transactions,
// so that none that starts then counts on it.
func (m *Machine) bury(n NodeID) []vm.Page {
	var lost, stirred []vm.Page
	m.dir.each(span{0, maxPage}, func(p vm.Page, e *entry) {
		if !e.known {
			return
		}
		if e.busy != nil {
			e.busy.queue = slices.DeleteFunc(e.busy.queue, func(w waiter) bool { return w.from == n })
			stirred = append(stirred, p)
		}
		if e.at(n) == Invalid || e.locked() && e.busy.t.involves(n) {
			return
		}
		e.lose(n)
		if e.nobody() && !e.locked() {
			lost = append(lost, p)
			m.reset(e)
		}
	})
	lost = m.buryTxns(n, lost)
	for _, p := range stirred {
		m.stir(p)
	}
	slices.Sort(lost)
	return slices.Compact(lost)
}

func (t *txn) involves(n NodeID) bool {
	return t.by == n || t.acks.has(n) || t.src == n && (t.act == actCopy || t.act == actTake)
}

// buryTxns ends or unblocks the transactions the dead node takes part in.
func (m *Machine) buryTxns(n NodeID, lost []vm.Page) []vm.Page {
	for _, id := range m.inOrder() {
		t := m.txns[id]
		if t == nil || !t.involves(n) {
			continue
		}
		switch {
		case t.by == n && t.granted:
			lost = m.buryRequester(t, lost)
		case t.by == n:
			t.dead = true
			if t.act == actUpgrade { // everybody else is dropping it
				for p := t.run.First; p < t.run.End(); p++ {
					lost = append(lost, p)
				}
			}
		case t.acks.has(n):
			m.acked(t, n)
		case t.granted:
			lost = m.burySource(t, lost)
		default:
			lost = m.buryUnsent(t, lost)
		}
	}
	return lost
}

// buryUnsent: the source died before it was asked. The acks still come in.
func (m *Machine) buryUnsent(t *txn, lost []vm.Page) []vm.Page {
	for p := t.run.First; p < t.run.End(); p++ {
		m.entry(p).lose(t.src)
		lost = append(lost, p) // whoever else has it is dropping it
	}
	t.dead = true
	if !t.unasked {
		m.send(t.by, Msg{Kind: NoMapping, Page: t.asked, N: 1})
	}
	return lost
}

func (m *Machine) inOrder() []uint64 {
	list := make([]uint64, 0, len(m.txns))
	for id := range m.txns {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// buryRequester: what was taken for the dead is lost; what was copied stays
// where it was, downgraded.
func (m *Machine) buryRequester(t *txn, lost []vm.Page) []vm.Page {
	for p := t.run.First; p < t.run.End(); p++ {
		m.spoil(t, p)
		if m.entry(p).nobody() || t.zero { // it may have written to the zeros
			lost = append(lost, p)
		}
	}
	m.finish(t, 0)
	return lost
}

// burySource: the data may or may not have been sent. It is counted as lost,
// and the receiver is told to refuse it or to drop it.
func (m *Machine) burySource(t *txn, lost []vm.Page) []vm.Page {
	answer := Msg{Kind: Settled, Page: t.run.First, N: t.run.N, ID: t.id} // fault again
	for p := t.run.First; p < t.run.End(); p++ {
		e := m.entry(p)
		e.lose(t.src)
		if e.nobody() {
			lost = append(lost, p)
			answer.Kind = NoMapping
		}
	}
	if t.by != Home || !t.unasked {
		m.send(t.by, answer)
	}
	m.finish(t, 0)
	return lost
}

// runsOf joins sorted pages.
func runsOf(pages []vm.Page) []vm.Run {
	var runs []vm.Run
	for _, p := range pages {
		if k := len(runs) - 1; k >= 0 && runs[k].End() == p && runs[k].N < ^uint32(0) {
			runs[k].N++
		} else {
			runs = append(runs, vm.Run{First: p, N: 1})
		}
	}
	return runs
}
