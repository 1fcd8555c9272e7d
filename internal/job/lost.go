package job

import (
	"fmt"

	"popcorn/internal/coherence"
)

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
		o.fail(fmt.Errorf("%w; %s; the program was ended", st.failed, what))
		return
	}
	o.logf("%v; nothing of the program was there", st.failed)
	st.joined = false
	waiting := st.joining
	st.joining = nil
	for _, f := range waiting {
		f(st.failed)
	}
}

// losses tells in words what the program has lost with node n, empty for nothing.
func (o *origin) losses(n coherence.NodeID) string {
	threads := 0
	for _, t := range o.threads {
		switch {
		case t.node == n && t.where == leavingIn: // what it resumes with is still here
			t.to(homeIn)
			t.node, t.place = coherence.Home, coherence.Home
		case t.node == n && t.where != atHome && t.where != leaving:
			threads++
		case t.place == n:
			t.place = coherence.Home // one that is about to leave finds the node failed
		}
	}
	var pages uint64
	if o.pager != nil {
		for _, r := range o.pager.Machine().Needs(n) {
			pages += uint64(r.N)
		}
		if threads == 0 && pages == 0 {
			o.pager.Lost(n) // not before that is certain: who waits for lost pages would get zeros
		}
	}
	if threads == 0 && pages == 0 {
		return ""
	}
	return fmt.Sprintf("%d of its threads and %d pages of its memory were there", threads, pages)
}
