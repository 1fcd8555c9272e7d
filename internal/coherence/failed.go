package coherence

import "time"

// Failed tells that the shell could not execute e, because at least one of its
// pages has no mapping any more. Call it before anything else reaches the
// machine. The pages of a failed SendData must not have been zapped and its
// message must not have been sent; what an Install or InstallZero did before it
// failed is dropped again. Effects that cannot fail that way (Send,
// Drop, Wake, Held) need no call.
func (m *Machine) Failed(now time.Duration, e Effect) {
	m.begin(now)
	m.stats.Failures++
	switch e.Kind {
	case SendData:
		m.stats.PagesOut -= uint64(e.N)
		if m.home() {
			m.failedGrant(e)
		} else {
			m.failedFetch(e)
		}
	case Install, InstallZero, Unprotect:
		if !m.home() { // at home: no mapping, no content, nothing to take back
			m.retract(e)
		}
	}
	m.end()
}

// retract answers that a grant could not be put in place, where the machine may
// have been about to say that it was, and before it says anything else.
func (m *Machine) retract(e Effect) {
	m.setMode(e.run(), Invalid)
	rest := m.out[m.sent:]
	m.out, m.sent = nil, 0
	m.send(Home, Msg{Kind: Unplaced, Page: e.Page, N: e.N, ID: e.ID})
	for _, o := range rest {
		if o.Kind == Send && o.Msg.Kind == Installed && o.Msg.ID == e.ID {
			continue
		}
		if o.Kind == Wake && e.run().Contains(o.Page) {
			o.Mode = Invalid
		}
		m.out = append(m.out, o)
	}
	m.emit(Effect{Kind: Drop, Page: e.Page, N: e.N})
	m.emit(Effect{Kind: Wake, Page: e.Page, N: e.N, Mode: Invalid})
}

// failedFetch is a holder's answer to home: less than was asked, or nothing.
func (m *Machine) failedFetch(e Effect) {
	m.setMode(e.run(), e.Was)
	if e.N > 1 { // any of them may be the missing one: only the first is a must
		first := e.Msg
		first.N = 1
		r := first.run()
		m.give(e.To, r, e.Was, first)
		return
	}
	m.setMode(e.run(), Invalid)
	m.send(Home, Msg{Kind: Gone, Page: e.Page, N: 1, ID: e.Msg.ID})
}

// failedGrant is the same at home, which then knows that there is no memory.
func (m *Machine) failedGrant(e Effect) {
	t := m.txns[e.Msg.ID]
	if t == nil {
		return
	}
	for p := e.Page; p < e.run().End(); p++ {
		d := m.entry(p)
		d.home = d.at(Home)
	}
	if t.run.N > 1 {
		m.shrink(t, 1)
		m.grant(t)
		return
	}
	m.refuse(t)
}
