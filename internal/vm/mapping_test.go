package vm

import (
	"math/rand"
	"testing"
)

// TestSetAgainstPages compares the set with a plain table of pages under random
// insertions and removals.
func TestSetAgainstPages(t *testing.T) {
	const pages = 64
	rng := rand.New(rand.NewSource(1))
	var s Set
	var want [pages]Prot
	for step := range 20000 {
		a, b := rng.Intn(pages), rng.Intn(pages+1)
		if a > b {
			a, b = b, a
		}
		r := Range{Page(a).Addr(), Page(b).Addr()}
		prot := Prot(rng.Intn(3))
		if prot == 0 {
			s.Remove(r)
		} else {
			s.Insert(Mapping{Range: r, Prot: prot})
		}
		for p := a; p < b; p++ {
			want[p] = prot
		}
		check(t, step, &s, want[:])
	}
}

func check(t *testing.T, step int, s *Set, want []Prot) {
	t.Helper()
	at := Addr(0)
	for _, m := range s.All() {
		if m.Start < at || m.Empty() {
			t.Fatalf("step %d: mapping %v out of order or empty", step, m.Range)
		}
		at = m.End
	}
	for p, prot := range want {
		m, ok := s.Find(Page(p).Addr())
		if ok != (prot != 0) || m.Prot != prot {
			t.Fatalf("step %d: page %d: got %v %v, want %v", step, p, ok, m.Prot, prot)
		}
	}
	covered := uint64(0)
	whole := Range{0, Page(len(want)).Addr()}
	for _, m := range s.Overlapping(whole) {
		covered += m.Size()
	}
	for _, g := range s.Gaps(whole) {
		covered += g.Size()
	}
	if covered != whole.Size() {
		t.Fatalf("step %d: mappings and gaps cover %d of %d bytes", step, covered, whole.Size())
	}
}
