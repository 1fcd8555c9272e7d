package job

import (
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/wire"
)

// lostError ends a job that had something at a node which is lost.
type lostError struct {
	node int
	why  error
}

func (e *lostError) Error() string { return e.why.Error() }

func (e *lostError) Unwrap() error { return e.why }

// peerLost implements role.
func (o *origin) peerLost(n coherence.NodeID, err error) { o.nodeLost(n, err) }

// nodeLost handles the end of node n. A job that has nothing there goes on.
func (o *origin) nodeLost(n coherence.NodeID, why error) {
	st := o.nodes[n]
	if st == nil || o.ended || st.failed != nil {
		return
	}
	st.failed = fmt.Errorf("%s is lost: %w", o.cfg.Spec.nodeTitle(int(n)), why)
	if what := o.losses(n); what != "" {
		o.fail(&lostError{int(n), fmt.Errorf("%w; %s; the program was ended", st.failed, what)})
		return
	}
	o.doWithout(n)
	o.logf("%v; nothing of the program was there", st.failed)
	st.joined = false
	waiting := st.joining
	st.joining = nil
	for _, f := range waiting {
		f(st.failed)
	}
	o.whenAlone()
}

// unreachable handles that node from has lost node n, from which it may wait for a
// page. One that was emptied, or that home has lost itself, is no news.
func (o *origin) unreachable(from, n coherence.NodeID, why error) {
	o.nodeLost(n, fmt.Errorf("%s does not reach it: %w", o.cfg.Spec.nodeTitle(int(from)), why))
	o.send(n, wire.Header{Type: wire.TBye}) // it may be well, but the job goes on without it
}

// losses tells in words what the program would lose with node n now, empty for
// nothing. It does not touch the memory: who waits for a lost page would get zeros.
func (o *origin) losses(n coherence.NodeID) string {
	threads := 0
	for _, t := range o.threads {
		switch t.where {
		case atHome, leaving, leavingIn: // what it resumes with is here
		default:
			if t.node == n {
				threads++
			}
		}
	}
	var pages uint64
	if o.pager != nil {
		for _, r := range o.pager.Machine().Needs(n) {
			pages += uint64(r.N)
		}
	}
	if threads == 0 && pages == 0 {
		return ""
	}
	return fmt.Sprintf("%d of its threads and %d pages of its memory were there", threads, pages)
}

// doWithout forgets a node that the program has nothing at: who was on its way
// there stays, and its copies of pages count no more.
func (o *origin) doWithout(n coherence.NodeID) {
	for _, t := range o.threads {
		if t.node == n && t.where == leavingIn {
			t.to(homeIn)
			t.node = coherence.Home
		}
		if t.place == n {
			t.place = coherence.Home // one that is about to leave finds the node closed
		}
	}
	if o.pager != nil {
		o.pager.Lost(n)
	}
}
