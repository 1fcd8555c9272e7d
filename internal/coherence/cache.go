package coherence

import "popcorn/internal/vm"

// pending is a request this node has at home. A node has at most one for a
// first page, and home answers each exactly once, so an answer is matched to
// its request by the first page alone. Every answer wakes all who wait for that
// page, so one request serves them all: a writer whose fault was merged into a
// read wakes, faults again and asks for itself.
type pending struct {
	run    vm.Run
	access Access
	extra  []vm.Page // faults on later pages of the run, served by it if lucky
}

// mode is what this node has of p.
func (m *Machine) mode(p vm.Page) Mode {
	if m.home() {
		return m.view(p).home
	}
	if c := m.modes.peek(p); c != nil {
		return *c
	}
	return Invalid
}

func (m *Machine) setMode(r vm.Run, mode Mode) {
	for p := r.First; p < r.End(); p++ {
		if m.home() {
			m.entry(p).home = mode
			continue
		}
		k := m.modes.grow(p.Chunk())
		c := &k.cell[p%vm.ChunkPages]
		if *c != Invalid {
			k.used--
		}
		if mode != Invalid {
			k.used++
		}
		*c = mode
		if k.used == 0 {
			m.modes.shed(p.Chunk())
		}
	}
}

// allAtLeast tells whether this node has every page of r in at least mode.
func (m *Machine) allAtLeast(r vm.Run, mode Mode) bool {
	for p := r.First; p < r.End(); p++ {
		if m.mode(p) < mode {
			return false
		}
	}
	return true
}

func (m *Machine) fault(of NodeID, page vm.Page, a Access, want uint32) {
	have := m.mode(page)
	if have >= a.mode() {
		m.stats.Spurious++
		m.emit(Effect{Kind: Wake, Page: page, N: 1, Mode: have})
		return
	}
	if m.merge(page, a) {
		m.stats.Merged++
		return
	}
	switch {
	case a == Read:
		m.stats.ReadFaults++
	case have == Shared:
		m.stats.UpgradeFaults++
	default:
		m.stats.WriteFaults++
	}
	m.request(of, page, a, want)
}

// merge finds an outstanding request that will serve the fault, or see to it.
func (m *Machine) merge(page vm.Page, a Access) bool {
	for i := range m.pend {
		if m.pend[i].run.First == page {
			return true
		}
	}
	for i := range m.pend {
		if p := &m.pend[i]; p.run.Contains(page) && a <= p.access {
			for _, q := range p.extra {
				if q == page {
					return true
				}
			}
			p.extra = append(p.extra, page)
			return true
		}
	}
	return false
}

func (m *Machine) request(of NodeID, page vm.Page, a Access, want uint32) {
	n := uint32(min(vm.Page(max(1, min(want, m.cfg.MaxRun))), maxPage-page))
	m.pend = append(m.pend, pending{run: vm.Run{First: page, N: n}, access: a})
	msg := Msg{Kind: Request, Mode: a.mode(), Page: page, N: n}
	if m.home() {
		msg.Node = of // of others nobody asks
	}
	if m.mode(page) == Shared {
		msg.Flags = Copied
	}
	m.send(Home, msg)
}

// asked finds the request whose first page is page.
func (m *Machine) asked(page vm.Page) int {
	for i := range m.pend {
		if m.pend[i].run.First == page {
			return i
		}
	}
	return -1
}

// answered ends the request for page, and asks for what it left unserved: who
// waits for a later page sleeps in the kernel and will not fault again by itself.
func (m *Machine) answered(page vm.Page) {
	i := m.asked(page)
	if i < 0 {
		return
	}
	p := m.pend[i]
	last := len(m.pend) - 1
	m.pend[i] = m.pend[last]
	m.pend[last] = pending{}
	m.pend = m.pend[:last]
	for _, q := range p.extra {
		if have := m.mode(q); have >= p.access.mode() {
			m.emit(Effect{Kind: Wake, Page: q, N: 1, Mode: have})
		} else if !m.merge(q, p.access) {
			m.request(m.cfg.Self, q, p.access, 1)
		}
	}
}

// onGrant installs pages. Home believes only the node it fetches from; a remote
// believes home, and another remote only for what it asked.
func (m *Machine) onGrant(from NodeID, msg Msg) bool {
	if msg.Mode == Invalid || !m.expects(from, msg) {
		return false
	}
	if _, dead := m.cancelled[msg.ID]; dead {
		delete(m.cancelled, msg.ID)
		return true
	}
	r := msg.run()
	m.setMode(r, msg.Mode)
	kind := Install
	if msg.Flags&Zero != 0 {
		kind = InstallZero
		m.stats.ZerosIn += uint64(r.N)
	} else {
		m.stats.PagesIn += uint64(r.N)
	}
	m.stats.Prefetched += uint64(r.N)
	if msg.Flags&Unasked == 0 {
		m.stats.Prefetched--
	}
	m.emit(Effect{Kind: kind, Page: r.First, N: r.N, Mode: msg.Mode, ID: msg.ID})
	m.confirm(from, msg)
	return true
}

func (m *Machine) expects(from NodeID, msg Msg) bool {
	if m.home() {
		t := m.txns[msg.ID]
		return t != nil && t.by == Home && t.granted && t.act != actUpgrade && from == t.src &&
			t.run.First == msg.Page && msg.N <= t.run.N && msg.Mode == t.want
	}
	if from == Home {
		return true
	}
	i := m.asked(msg.Page)
	return i >= 0 && msg.N <= m.pend[i].run.N && msg.Flags&Unasked == 0
}

// confirm unlocks what was granted, unless home has done so when it sent it. It
// comes after the effect that puts the grant in place: that is what keeps a later
// Invalidate from overtaking another remote's grant.
func (m *Machine) confirm(from NodeID, msg Msg) {
	if from != Home || m.home() || msg.Flags&Confirm != 0 {
		m.send(Home, Msg{Kind: Installed, Page: msg.Page, N: msg.N, ID: msg.ID})
	}
	if msg.Flags&Unasked == 0 {
		m.answered(msg.Page + vm.Page(msg.Node))
	}
}

func (m *Machine) onUpgrade(msg Msg) bool {
	r := msg.run()
	if !m.allAtLeast(r, Shared) { // home knows better
		m.send(Home, Msg{Kind: Unplaced, Page: r.First, N: r.N, ID: msg.ID})
		return false
	}
	m.setMode(r, Exclusive)
	m.emit(Effect{Kind: Unprotect, Page: r.First, N: r.N, Mode: Exclusive, ID: msg.ID})
	m.confirm(Home, msg)
	return true
}

// onInvalidate never waits for this node's own requests: the shared copy that
// an upgrade on its way counts on is simply lost, and home will see that.
func (m *Machine) onInvalidate(msg Msg) bool {
	r := msg.run()
	had := false
	for p := r.First; p < r.End() && !had; p++ {
		had = m.mode(p) != Invalid
	}
	if had {
		m.setMode(r, Invalid)
		m.stats.Dropped += uint64(r.N)
		m.emit(Effect{Kind: Drop, Page: r.First, N: r.N})
	}
	m.send(Home, Msg{Kind: Invalidated, Page: r.First, N: r.N, ID: msg.ID})
	return true
}

func (m *Machine) onFetch(msg Msg) bool {
	r := msg.run()
	if msg.Mode == Invalid || msg.Node == m.cfg.Self {
		return false
	}
	if !m.allAtLeast(r, Shared) {
		m.send(Home, Msg{Kind: Gone, Page: r.First, N: r.N, ID: msg.ID})
		return true
	}
	m.give(msg.Node, r, m.mode(r.First), Msg{Kind: Grant, Mode: msg.Mode, Flags: msg.Flags & Unasked,
		Page: r.First, N: r.N, ID: msg.ID})
	return true
}

// give sends pages this node has in mode was.
func (m *Machine) give(to NodeID, r vm.Run, was Mode, grant Msg) {
	op, left := Copy, Shared
	switch {
	case grant.Mode == Exclusive:
		op, left = Take, Invalid
	case was == Exclusive:
		op = Downgrade
	}
	m.setMode(r, left)
	m.stats.PagesOut += uint64(r.N)
	m.emit(Effect{Kind: SendData, Op: op, Was: was, To: to, Page: r.First, N: r.N, Msg: grant})
}

// onRefusal ends a request without a page. With an ID it also takes back a
// grant that a lost node may or may not have sent.
func (m *Machine) onRefusal(msg Msg) bool {
	if msg.ID != 0 && !m.home() {
		m.cancel(msg)
	}
	if msg.Kind == NoMapping {
		m.emit(Effect{Kind: SignalUnmapped, Page: msg.Page, N: 1})
	} else {
		m.emit(Effect{Kind: Wake, Page: msg.Page, N: 1, Mode: m.mode(msg.Page)})
	}
	m.answered(msg.Page)
	return true
}

func (m *Machine) cancel(msg Msg) {
	if m.mode(msg.Page) != Invalid { // it came, and home does not count it
		m.setMode(msg.run(), Invalid)
		m.emit(Effect{Kind: Drop, Page: msg.Page, N: msg.N})
		return
	}
	if m.cancelled == nil {
		m.cancelled = make(map[uint64]struct{})
	}
	m.cancelled[msg.ID] = struct{}{}
}
