package coherence

import (
	"time"

	"popcorn/internal/vm"
)

// txn is a transaction: a run of pages locked from its start until the
// receiver says that they are in place.
//
// Why a grant can never meet an Invalidate or Fetch on its way, although they
// travel between different pairs of nodes: both belong to transactions on the
// same page, and transactions on a page exclude each other. One whose data a
// remote sends ends only with Installed, which its receiver sends after the
// grant is in place. One whose grant home sends itself may end when it is sent:
// whatever home says about the page to the receiver comes behind it, and nobody
// else says anything to it before home asks. So whenever a page is unlocked, no
// message about it is under way but requests, refusals, reports of loss and
// grants of home, and a node that has received all that home sent it has the
// mode that the directory says.
type txn struct {
	id      uint64
	run     vm.Run
	asked   vm.Page // the page the request was for
	by      NodeID
	src     NodeID
	want    Mode
	act     action
	zero    bool
	unasked bool    // pushed, or on behalf of a hold
	granted bool    // acks are in; Fetch, Grant or Upgrade was sent
	dead    bool    // its requester or source is lost: unlock when the acks are in
	acks    nodeSet // whose Invalidated is outstanding
}

// start locks the run, and has those who must lose their copies drop them.
func (m *Machine) start(t0 txn) {
	t := m.newTxn(t0)
	m.lastID++
	t.id = m.lastID
	m.txns[t.id] = t
	m.queued[t.by]++
	m.stats.Transactions++
	for p := t.run.First; p < t.run.End(); p++ {
		m.makeBusy(m.entry(p)).t = t
	}
	t.acks = m.losers(t)
	for n, ok := t.acks.next(0); ok; n, ok = t.acks.next(int(n) + 1) {
		m.stats.Invalidations++
		m.send(n, Msg{Kind: Invalidate, Page: t.run.First, N: t.run.N, ID: t.id})
	}
	if t.acks.empty() {
		m.grant(t)
	}
}

func (m *Machine) newTxn(t0 txn) *txn {
	var t *txn
	if n := len(m.freeTxn); n > 0 {
		t, m.freeTxn = m.freeTxn[n-1], m.freeTxn[:n-1]
	} else {
		t = new(txn)
	}
	*t = t0
	return t
}

// losers is who has to drop the pages before the grant. All pages of a run
// agree on it.
func (m *Machine) losers(t *txn) nodeSet {
	if t.act == actCopy || t.zero {
		return nodeSet{}
	}
	s := m.view(t.run.First).holders().clone()
	switch t.act {
	case actTake:
		s.remove(t.src)
	case actUpgrade:
		s.remove(t.by)
	case actForget:
		s.remove(Home)
	}
	return s
}

func (m *Machine) onInvalidated(from NodeID, msg Msg) bool {
	t := m.txns[msg.ID]
	if t == nil || t.granted || t.run != msg.run() || !t.acks.has(from) {
		return false
	}
	m.acked(t, from)
	return true
}

func (m *Machine) acked(t *txn, from NodeID) {
	t.acks.remove(from)
	for p := t.run.First; p < t.run.End(); p++ {
		e := m.entry(p)
		e.lose(from)
		e.hasNone(from)
	}
	if t.acks.empty() {
		m.grant(t)
	}
}

// grant sends the pages on their way; nobody else has them who must not.
func (m *Machine) grant(t *txn) {
	t.granted = true
	if t.dead || t.act == actForget {
		m.finish(t, 0)
		return
	}
	msg := Msg{Kind: Grant, Mode: t.want, Page: t.run.First, N: t.run.N, ID: t.id}
	if t.unasked {
		msg.Flags |= Unasked
	}
	fromHome := t.by != Home && (t.act == actUpgrade || t.src == Home)
	switch {
	case fromHome && m.disputed(t):
		msg.Flags |= Confirm
	case fromHome:
		m.passed = append(m.passed, t.id)
	}
	switch {
	case t.act == actUpgrade:
		m.stats.Upgrades++
		msg.Kind = Upgrade
		m.send(t.by, msg)
	case t.zero:
		msg.Flags |= Zero
		msg.Node = NodeID(t.asked - t.run.First)
		m.setMode(t.run, Invalid)
		m.send(t.by, msg)
	case t.src == Home:
		m.give(t.by, t.run, m.had(t), msg)
	default:
		msg.Kind, msg.Node = Fetch, t.by
		m.send(t.src, msg)
	}
}

// disputedFor is how long after its minimum hold time a page that another node
// asks for counts as disputed.
const disputedFor = time.Second

// disputed tells whether a page of t was another node's a short while ago. Its
// minimum hold time must then begin when it is in place: a receiver that gets no
// processor for a while would lose it before it was used, again and again.
func (m *Machine) disputed(t *txn) bool {
	if m.cfg.HoldBase == 0 || t.unasked {
		return false
	}
	for p := t.run.First; p < t.run.End(); p++ {
		if e := m.view(p); e.until > 0 && e.last != t.by && m.now < e.until+disputedFor {
			return true
		}
	}
	return false
}

// pass ends the transactions whose grants home has sent by now.
func (m *Machine) pass() {
	m.begin(m.now) // what home has sent may have woken threads
	ids := m.passed
	m.passed = m.spare[:0] // of those that start now
	for _, id := range ids {
		if t := m.txns[id]; t != nil && t.granted {
			m.finish(t, t.run.N)
		}
	}
	m.spare = ids
	m.end()
}

// had is what home has at most of the run's pages.
func (m *Machine) had(t *txn) Mode {
	was := Shared
	for p := t.run.First; p < t.run.End(); p++ {
		was = max(was, m.view(p).home)
	}
	return was
}

func (m *Machine) onInstalled(from NodeID, msg Msg) bool {
	t := m.txns[msg.ID]
	if t == nil || !t.granted || t.by != from || t.run.First != msg.Page || msg.N > t.run.N {
		return false
	}
	m.finish(t, msg.N)
	return true
}

// onGone is the answer of a node that had no mapping to take data from.
func (m *Machine) onGone(from NodeID, msg Msg) bool {
	t := m.txns[msg.ID]
	switch {
	case t == nil && from != Home: // who wanted it is lost
		if msg.N == 1 { // else it may have some of them
			m.lacks(from, msg.run())
		}
	case t == nil || !t.granted || t.run.First != msg.Page || from == Home || t.act == actUpgrade || t.src != from:
		return false
	default:
		m.sourceGone(t)
	}
	return true
}

// onUnplaced is that of one that had none to put it to.
func (m *Machine) onUnplaced(from NodeID, msg Msg) bool {
	t := m.txns[msg.ID]
	switch {
	case t == nil:
		m.lacks(from, msg.run())
	case !t.granted || t.run.First != msg.Page || t.by != from:
		return false
	default:
		m.receiverGone(t, min(msg.N, t.run.N))
	}
	return true
}

// lacks: a remote has no mapping for pages that home counts as there. A
// transaction that wants one of them from it learns it there.
func (m *Machine) lacks(from NodeID, r vm.Run) {
	for p := r.First; p < r.End(); p++ {
		if m.view(p).at(from) == Invalid {
			continue
		}
		e := m.entry(p)
		e.lose(from)
		if e.nobody() && !e.locked() {
			m.reset(e)
		}
		m.stir(p)
	}
}

// receiverGone: what was copied is still where it was; what was taken is lost
// with the mapping it was for. The grant may have been shorter than the run.
func (m *Machine) receiverGone(t *txn, n uint32) {
	for p := t.run.First; p < t.run.First+vm.Page(n); p++ {
		m.spoil(t, p)
	}
	m.finish(t, 0)
}

// spoil brings the entry up to date after a grant that was sent and that the
// receiver does not have.
func (m *Machine) spoil(t *txn, p vm.Page) {
	e := m.entry(p)
	switch t.act {
	case actCopy:
		e.gain(t.src, Shared) // a former owner has downgraded
	case actTake:
		if !t.zero {
			e.lose(t.src)
		}
	case actUpgrade:
		e.lose(t.by)
	}
}

// sourceGone finds another holder, or gives up.
func (m *Machine) sourceGone(t *txn) {
	if t.run.N > 1 {
		m.shrink(t, 1)
		m.grant(t)
		return
	}
	e := m.entry(t.run.First)
	e.lose(t.src)
	if t.act == actTake || e.nobody() {
		m.refuse(t)
		return
	}
	t.src = e.source()
	m.grant(t)
}

// refuse ends a transaction whose memory does not exist.
func (m *Machine) refuse(t *txn) {
	if !t.unasked {
		m.send(t.by, Msg{Kind: NoMapping, Page: t.asked, N: 1})
	}
	m.finish(t, 0)
}

// shrink unlocks the pages of t from the n-th on; they stay as they are.
func (m *Machine) shrink(t *txn, n uint32) {
	rest := vm.Run{First: t.run.First + vm.Page(n), N: t.run.N - n}
	t.run.N = n
	for p := rest.First; p < rest.End(); p++ {
		if e := m.entry(p); e.nobody() { // see lacks
			m.reset(e)
		}
	}
	m.unlock(rest)
}

// finish records that the requester has the first n pages, and unlocks all.
func (m *Machine) finish(t *txn, n uint32) {
	r := t.run
	for i := range r.N {
		e := m.entry(r.First + vm.Page(i))
		if t.dead {
			e.lose(t.by)
		}
		if t.act == actTake && t.granted {
			e.hasNone(t.src)
		}
		if i < n {
			e.gain(t.by, t.want)
			m.guard(e, t.by)
			continue
		}
		if e.nobody() && t.act != actForget {
			m.reset(e)
		} else if t.act != actForget {
			e.home = e.at(Home)
		}
	}
	delete(m.txns, t.id)
	m.queued[t.by]--
	m.freeTxn = append(m.freeTxn, t)
	m.unlock(r)
}

// unlock lets whoever waits for the pages go on. All locks go first: the next
// transaction may want the whole run.
func (m *Machine) unlock(r vm.Run) {
	for p := r.First; p < r.End(); p++ {
		m.entry(p).busy.t = nil
	}
	for p := r.First; p < r.End(); p++ {
		m.stir(p)
	}
}

// pushRun starts a transaction for each stretch of r that can go at once.
func (m *Machine) pushRun(to NodeID, r vm.Run, want Mode) {
	for p := r.First; p < r.End(); {
		e := m.view(p)
		pl := planFor(e, to, want)
		_, wait := e.guarded(to, want, m.now)
		// No upgrade: the node may be about to find that it cannot place its copy.
		data := pl.src == Home && pl.act != actUpgrade
		if e.busy != nil || m.barred(p, want) || pl.done || pl.third || !data || wait {
			p++
			continue
		}
		run := vm.Run{First: p, N: uint32(min(r.End()-p, vm.Page(m.cfg.MaxRun)))}
		run.N = m.extent(run, to, to, want, pl, nil)
		m.stats.Pushed++
		m.start(txn{by: to, want: want, act: pl.act, src: pl.src, run: run, asked: p, unasked: true})
		p += vm.Page(run.N)
	}
}
