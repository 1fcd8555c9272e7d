package coherence

import (
	"testing"

	"popcorn/internal/vm"
)

// TestANodeIsEmptied: once home holds a copy of what only a node had, the node is
// not needed any more, and nothing is lost with it.
func TestANodeIsEmptied(t *testing.T) {
	w := newWorld(3, 1, Config{MaxRun: 4})
	written, read := w.nodes[1].threads[0], w.nodes[2].threads[0]
	for page := range 3 {
		w.nodes[1].start(written, vm.Page(5+page), Write, 1)
		w.quiesce()
	}
	w.nodes[2].start(read, vm.Page(5+2), Read, 1) // n1 and n2 share it, home has none
	w.quiesce()
	m := w.nodes[0].m
	needs := m.Needs(1)
	if len(needs) != 1 || needs[0].First != vm.Page(5+0) || needs[0].N != 2 {
		t.Fatalf("node 1 is needed for %v, want its two pages", needs)
	}
	w.hold(heldRuns{runs: needs, want: Read})
	w.quiesce()
	if needs = m.Needs(1); len(needs) > 0 {
		t.Fatalf("node 1 is still needed for %v", needs)
	}
	w.kill(1)
	if len(w.lost) > 0 {
		t.Fatalf("lost %v", w.lost)
	}
	w.nodes[0].start(w.nodes[0].threads[0], vm.Page(5+2), Write, 1)
	w.quiesce()
}
