package coherence

import (
	"fmt"
	"slices"
	"time"

	"popcorn/internal/vm"
)

// world is a simulated job: machines, kernels that hold one value per page,
// threads, and channels that keep order per pair of nodes only. Every read is
// compared with the last value written by anybody, which is stronger than
// sequential consistency per location needs to be.
type world struct {
	now     time.Duration
	of      NodeID // what threads that start have
	nodes   []*node
	wires   map[[2]NodeID][]packet
	ref     map[vm.Page]uint64 // last value written
	touched map[vm.Page]bool   // ever present in some kernel
	gone    map[vm.Page]bool   // no mapping, anywhere
	frail   map[vm.Page]bool   // installs fail there, once
	held    map[uint64]heldRuns
	waiting map[uint64]heldRuns // holds asked for, not yet held
	lastVal uint64
	lastID  uint64
	log     []string
	signals int
	dead    map[NodeID]bool
	lost    map[vm.Page]bool // died with a node: nothing is promised about them
}

type heldRuns struct {
	runs   []vm.Run
	want   Access
	forget bool
	all    bool
}

type packet struct {
	msg  Msg
	data []uint64
}

type node struct {
	w       *world
	id      NodeID
	m       *Machine
	kernel  map[vm.Page]*cell
	holes   map[vm.Page]bool // mappings that went away with their content
	threads []*thread
}

type cell struct {
	value     uint64
	protected bool
}

// thread is blocked in the kernel until somebody wakes its page.
type thread struct {
	page    vm.Page
	access  Access
	want    uint32
	of      NodeID // see FaultFor
	blocked bool
	busy    bool
}

func newWorld(n, threads int, cfg Config) *world {
	w := &world{wires: map[[2]NodeID][]packet{}, ref: map[vm.Page]uint64{}, touched: map[vm.Page]bool{},
		gone: map[vm.Page]bool{}, frail: map[vm.Page]bool{}, held: map[uint64]heldRuns{},
		waiting: map[uint64]heldRuns{}, dead: map[NodeID]bool{}, lost: map[vm.Page]bool{}}
	for id := range NodeID(n) {
		c := cfg
		c.Self, c.Verify = id, true
		if id == Home && c.Untouched != nil {
			c.Untouched = w.untouched
		}
		nd := &node{w: w, id: id, m: New(c), kernel: map[vm.Page]*cell{}, holes: map[vm.Page]bool{}}
		for range threads {
			nd.threads = append(nd.threads, &thread{})
		}
		w.nodes = append(w.nodes, nd)
	}
	return w
}

func (w *world) untouched(p vm.Page) (vm.Run, bool) {
	r := vm.Run{First: p &^ 7, N: 8}
	for q := r.First; q < r.End(); q++ {
		if w.touched[q] || w.gone[q] {
			return vm.Run{}, false
		}
	}
	return r, true
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fail(format string, args ...any) {
	tail := w.log[max(0, len(w.log)-80):]
	s := fmt.Sprintf(format, args...)
	for _, l := range tail {
		s += "\n  " + l
	}
	panic(s)
}

func (w *world) post(from, to NodeID, p packet) {
	if w.dead[to] || w.dead[from] {
		return
	}
	k := [2]NodeID{from, to}
	w.wires[k] = append(w.wires[k], p)
}

// pairs lists the channels with something in them, in a fixed order.
func (w *world) pairs() [][2]NodeID {
	var list [][2]NodeID
	for k, q := range w.wires {
		if len(q) > 0 {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b [2]NodeID) int {
		return (int(a[0])<<16 | int(a[1])) - (int(b[0])<<16 | int(b[1]))
	})
	return list
}

func (w *world) deliver(k [2]NodeID) {
	p := w.wires[k][0]
	w.wires[k] = w.wires[k][1:]
	w.note("n%d gets from n%d: %v", k[1], k[0], p.msg)
	n := w.nodes[k[1]]
	n.m.Receive(w.now, k[0], p.msg)
	n.run(p.data)
}

// start gives an idle thread something to do.
func (n *node) start(t *thread, page vm.Page, a Access, want uint32) {
	*t = thread{page: page, access: a, want: want, of: n.w.of, busy: true}
	n.step(t)
}

// step lets the thread try its access once: it is done, or faults.
func (n *node) step(t *thread) {
	w := n.w
	c := n.kernel[t.page]
	if w.gone[t.page] && n.id == Home {
		t.busy = false
		w.signals++
		return
	}
	if c == nil || t.access == Write && c.protected {
		t.blocked = true
		w.note("n%d faults %v %#x+%d", n.id, t.access, uint64(t.page), t.want)
		n.m.FaultFor(w.now, t.of, t.page, t.access, t.want)
		n.run(nil)
		return
	}
	t.busy = false
	if t.access == Read {
		if c.value != w.ref[t.page] && !w.lost[t.page] {
			w.fail("n%d reads %d from page %#x, last written is %d", n.id, c.value, uint64(t.page), w.ref[t.page])
		}
		return
	}
	w.lastVal++
	c.value = w.lastVal
	w.ref[t.page] = c.value
	w.note("n%d writes %d to %#x", n.id, c.value, uint64(t.page))
}

// checkKernels: one writable copy and no other, or copies that are all alike.
func (w *world) checkKernels() {
	writer := map[vm.Page]NodeID{}
	for _, n := range w.nodes {
		for p, c := range n.kernel {
			if w.lost[p] || w.dead[n.id] {
				continue
			}
			if !c.protected {
				if _, two := writer[p]; two {
					w.fail("two writers of page %#x", uint64(p))
				}
				writer[p] = n.id
			}
			if c.value != w.ref[p] && !w.gone[p] {
				w.fail("n%d has %d in page %#x, last written is %d", n.id, c.value, uint64(p), w.ref[p])
			}
		}
	}
	for _, n := range w.nodes {
		for p := range n.kernel {
			if o, ok := writer[p]; ok && o != n.id && !w.dead[n.id] {
				w.fail("n%d has a copy of page %#x that n%d may write", n.id, uint64(p), o)
			}
		}
	}
	for _, h := range w.held {
		w.checkHeld(h)
	}
}

// checkHeld: what a hold promises, it keeps.
func (w *world) checkHeld(h heldRuns) {
	for _, n := range w.nodes[1:] {
		for p, c := range n.kernel {
			if !h.covers(p) || w.lost[p] || w.dead[n.id] {
				continue
			}
			if h.forget || h.want == Write || !c.protected {
				w.fail("n%d has page %#x in spite of a hold", n.id, uint64(p))
			}
			if w.nodes[0].kernel[p] == nil && !w.gone[p] {
				w.fail("home has no copy of page %#x in spite of a hold", uint64(p))
			}
		}
	}
}

func (h heldRuns) covers(p vm.Page) bool {
	return h.all || slices.ContainsFunc(h.runs, func(r vm.Run) bool { return r.Contains(p) })
}

func (w *world) hold(h heldRuns) {
	w.lastID++
	w.waiting[w.lastID] = h
	m := w.nodes[0].m
	w.note("home holds %d: %+v", w.lastID, h)
	switch {
	case h.forget:
		m.Forget(w.now, w.lastID, h.runs)
	case h.all:
		m.HoldAll(w.now, w.lastID, h.want)
	default:
		m.Hold(w.now, w.lastID, h.runs, h.want)
	}
	w.nodes[0].run(nil)
}

// release ends a hold; the end of a Forget is a change of mappings.
func (w *world) release(id uint64, unmap bool) {
	h := w.held[id]
	delete(w.held, id)
	w.note("home releases %d", id)
	if h.forget {
		for _, r := range h.runs {
			for p := r.First; p < min(r.End(), r.First+64); p++ {
				delete(w.nodes[0].kernel, p)
				w.ref[p] = 0
				w.gone[p] = unmap
			}
		}
	}
	w.nodes[0].m.Release(w.now, id)
	w.nodes[0].run(nil)
}

// quiesce lets everything end; what does not end is a deadlock.
func (w *world) quiesce() {
	for round := 0; ; round++ {
		if round > 100000 {
			w.fail("no rest after %d rounds", round)
		}
		idle := true
		for _, k := range w.pairs() {
			w.deliver(k)
			idle = false
		}
		for _, n := range w.nodes {
			for _, t := range n.threads {
				if t.busy && !t.blocked && !w.dead[n.id] {
					n.step(t)
					idle = false
				}
			}
		}
		for _, id := range w.heldIDs() {
			w.release(id, false)
			idle = false
		}
		if !idle {
			continue
		}
		at, ok := w.nodes[0].m.Deadline()
		if !ok {
			break
		}
		w.now = max(w.now, at)
		w.nodes[0].m.Tick(w.now)
		w.nodes[0].run(nil)
	}
	w.checkRest()
}

// kill ends a node. What it sent to others than home may still arrive.
func (w *world) kill(id NodeID) {
	w.note("n%d dies", id)
	w.dead[id] = true
	for k := range w.wires {
		if k[1] == id || k == [2]NodeID{id, Home} {
			delete(w.wires, k)
		}
	}
	needed := map[vm.Page]bool{}
	for _, r := range w.nodes[0].m.Needs(id) {
		for p := r.First; p < r.End(); p++ {
			needed[p] = true
		}
	}
	for _, r := range w.nodes[0].m.Lost(w.now, id) {
		w.note("  lost %v", r)
		for p := r.First; p < r.End(); p++ {
			w.lost[p] = true
			if !needed[p] {
				w.fail("page %#x was lost with n%d, which was not needed for it", uint64(p), id)
			}
		}
	}
	w.nodes[0].run(nil)
	for p := range w.nodes[id].kernel {
		w.orphan(p)
	}
	clear(w.nodes[id].kernel)
}

// orphan: a page nobody has any more must have been reported as lost.
func (w *world) orphan(p vm.Page) {
	if w.lost[p] || w.ref[p] == 0 {
		return
	}
	for _, list := range []map[uint64]heldRuns{w.held, w.waiting} {
		for _, h := range list {
			if h.forget && h.covers(p) {
				return
			}
		}
	}
	for _, n := range w.nodes {
		if n.kernel[p] != nil && !w.dead[n.id] {
			return
		}
	}
	for _, q := range w.wires {
		for _, k := range q {
			if k.msg.Kind == Grant && k.msg.run().Contains(p) {
				return
			}
		}
	}
	w.fail("page %#x was lost in silence", uint64(p))
}

func (w *world) heldIDs() []uint64 {
	var ids []uint64
	for id := range w.held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (w *world) checkRest() {
	if len(w.waiting) > 0 {
		w.fail("holds never held: %v", w.waiting)
	}
	home := w.nodes[0].m
	if len(home.txns) > 0 || len(home.holds) > 0 {
		w.fail("%d transactions and %d holds at rest", len(home.txns), len(home.holds))
	}
	for _, n := range w.nodes {
		if w.dead[n.id] {
			continue
		}
		if s := n.m.Stats(); s.Protocol != 0 && len(w.dead) == 0 {
			w.fail("n%d counted %d protocol errors", n.id, s.Protocol)
		}
		for _, t := range n.threads {
			if t.busy {
				w.fail("n%d: a thread waits for %v of page %#x for ever", n.id, t.access, uint64(t.page))
			}
		}
		if len(n.m.pend) > 0 {
			w.fail("n%d: requests outstanding at rest", n.id)
		}
	}
	home.dir.each(span{0, maxPage}, func(p vm.Page, e *entry) {
		if !e.known {
			return
		}
		for _, n := range w.nodes[1:] {
			if !w.dead[n.id] && !w.lost[p] && n.m.mode(p) != e.at(n.id) {
				w.fail("n%d has page %#x %v, the directory says %v", n.id, uint64(p), n.m.mode(p), e.at(n.id))
			}
		}
	})
}
