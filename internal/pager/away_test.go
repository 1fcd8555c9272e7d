package pager

import (
	"errors"
	"testing"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// awayArena is a stub's memory, all of it under the userfaultfd from the start.
func awayArena(t *testing.T, pages int) (*arena, *Away) {
	t.Helper()
	memfd, err := sys.Memfd("popcorn-test", 0)
	check(t, err)
	t.Cleanup(func() { sys.Close(memfd) })
	check(t, sys.Ftruncate(memfd, 1<<47))
	a := newArena(t, pages, memfd)
	r := a.mapping.Range
	_, err = a.uffd.Register(uint64(r.Start), r.Size(), sys.RegisterModeMissing|sys.RegisterModeWP)
	check(t, err)
	return a, NewAway(memfd, a.uffd, func(at vm.Addr) (vm.Mapping, bool) { return a.mapping, a.mapping.Contains(at) })
}

func TestAwayTakesWhatWasWritten(t *testing.T) {
	a, m := awayArena(t, 4)
	reader := a.load(1)
	a.faultOf(reader)
	check(t, m.Put(a.page(1), onePage(t, 'p'), false))
	if c := a.loaded(reader); c != 'p' {
		t.Fatalf("read %q", c)
	}
	check(t, <-a.store(1, 'q'))
	b, what := get(t, m, a.run(0, 2), coherence.Take)
	if what != Bytes || b[vm.PageSize] != 'q' || b[vm.PageSize+1] != 'p' || b[0] != 0 {
		t.Fatalf("took %q", b[vm.PageSize:vm.PageSize+2])
	}
	reader = a.load(1)
	a.faultOf(reader)
	check(t, m.PutZero(a.run(1, 1), true))
	if c := a.loaded(reader); c != 0 {
		t.Fatalf("after a take there is %q", c)
	}
	writer := a.store(1, 'w')
	if f := a.faultOf(writer); !f.WP {
		t.Fatalf("shared zeros can be written: %+v", f)
	}
	check(t, m.Unprotect(a.run(1, 1)))
	check(t, <-writer)
}

// TestOpenRunsAreClosedBeforeTheyAreRead: zeros that were left to the kernel come
// back under the userfaultfd with all that was written there meanwhile.
func TestOpenRunsAreClosedBeforeTheyAreRead(t *testing.T) {
	const pages = 4 * openAbove
	a, m := awayArena(t, pages)
	reader := a.load(0)
	a.faultOf(reader)
	check(t, m.PutZero(a.run(0, pages), false))
	if c := a.loaded(reader); c != 0 {
		t.Fatalf("read %q", c)
	}
	check(t, <-a.store(7, 'a'))
	check(t, <-a.store(8, 'b')) // no fault: nobody serves one
	if b, _ := get(t, m, a.run(7, 1), coherence.Take); b[0] != 'a' {
		t.Fatalf("took %q", b[0])
	}
	reader = a.load(7)
	a.faultOf(reader)
	check(t, m.Put(a.page(7), onePage(t, 'c'), false))
	if c := a.loaded(reader); c != 'c' {
		t.Fatalf("read %q", c)
	}
	if b, _ := get(t, m, a.run(7, 2), coherence.Downgrade); b[0] != 'c' || b[vm.PageSize] != 'b' {
		t.Fatalf("read %q and %q", b[0], b[vm.PageSize])
	}
	writer := a.store(8, 'x')
	if f := a.faultOf(writer); !f.WP {
		t.Fatalf("fault %+v", f)
	}
	check(t, m.Unprotect(a.run(7, 2)))
	check(t, <-writer)
	reader = a.load(40) // never touched before the run was closed
	a.faultOf(reader)
	check(t, m.Wake(a.page(40), coherence.Exclusive))
	if c := a.loaded(reader); c != 0 {
		t.Fatalf("read %q", c)
	}
}

func TestDroppedOpenRunFaults(t *testing.T) {
	const pages = 2 * openAbove
	a, m := awayArena(t, pages)
	check(t, m.PutZero(a.run(0, pages), false))
	check(t, <-a.store(3, 'a'))
	check(t, m.Drop(a.run(0, pages)))
	reader := a.load(3)
	a.faultOf(reader)
	check(t, m.Wake(a.page(3), coherence.Exclusive))
	if c := a.loaded(reader); c != 0 {
		t.Fatalf("dropped memory holds %q", c)
	}
}

// TestZerosOverContentAreRefused: a page that is there although this node has
// none breaks the law, and must show.
func TestZerosOverContentAreRefused(t *testing.T) {
	a, m := awayArena(t, 4)
	check(t, m.Put(a.page(2), onePage(t, 'p'), false))
	if err := m.PutZero(a.run(0, 4), false); !errors.Is(err, sys.EEXIST) {
		t.Fatalf("zeros over a page that is there: %v", err)
	}
}
