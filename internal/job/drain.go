package job

import (
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/wire"
)

// drain moves everything of the program away from node n and lets the node go.
func (o *origin) drain(n coherence.NodeID) {
	st := o.nodes[n]
	if st == nil || st.draining || st.failed != nil || o.ended {
		return
	}
	o.logf("empty %s", o.cfg.Spec.nodeTitle(int(n)))
	st.draining = true
	o.emptyOfThreads(n)
}

// drainAgain is when threads that could not be moved, because they were being
// made or moved, are looked for again.
const drainAgain = 100 * time.Millisecond

func (o *origin) emptyOfThreads(n coherence.NodeID) {
	var ts []*thread
	for _, t := range o.threads {
		if t.node == n || t.place == n {
			ts = append(ts, t)
		}
	}
	o.moveAll(ts, coherence.Home, true, true, func(error) {
		switch {
		case o.ended || o.nodes[n].failed != nil:
		case o.count(n) > 0:
			o.loop.after(drainAgain, func() { o.emptyOfThreads(n) })
		default:
			o.rescue(n, func() { o.part(n) })
		}
	})
}

// rescue brings home every page whose only copy is at node n, where nothing runs
// any more, then calls f. What was asked from there while something did may still
// arrive, so it looks until there is none.
func (o *origin) rescue(n coherence.NodeID, f func()) {
	if o.pager == nil {
		f()
		return
	}
	runs := o.pager.Machine().Needs(n)
	if len(runs) == 0 {
		f()
		return
	}
	o.pager.Hold(runs, coherence.Read, func(id uint64) {
		o.loop.post(func() {
			o.release(id)
			o.rescue(n, f)
		})
	})
}

// part lets a node go that has nothing of the program.
func (o *origin) part(n coherence.NodeID) {
	st := o.nodes[n]
	if o.ended || st.failed != nil {
		return
	}
	if what := o.losses(n); what != "" {
		panic(fmt.Sprintf("node %d was to be empty: %s", n, what))
	}
	o.doWithout(n)
	st.failed, st.joined = fmt.Errorf("%s has been emptied", o.cfg.Spec.nodeTitle(int(n))), false
	o.send(n, wire.Header{Type: wire.TStats})
	o.send(n, wire.Header{Type: wire.TBye})
	o.whenAlone()
}

// closed tells why no thread may go to the node, nil when it may.
func (o *origin) closed(n coherence.NodeID) error {
	switch st := o.nodes[n]; {
	case st.failed != nil:
		return st.failed
	case st.draining:
		return fmt.Errorf("%s is being emptied", o.cfg.Spec.nodeTitle(int(n)))
	}
	return nil
}
