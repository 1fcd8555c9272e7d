package coherence

import (
	"slices"

	"popcorn/internal/vm"
)

// table keeps a T per page, by chunks, so that neighbours lie together and
// memory nobody asked for costs nothing.
type table[T any] struct {
	chunks map[vm.Chunk]*cells[T]
	near   vm.Chunk // the chunk last used, to spare the map on runs
	nearP  *cells[T]
	spare  []*cells[T] // shed, all cells zero: a page that comes and goes must not allocate
}

type cells[T any] struct {
	used int // cells in use, counted by the table's user
	cell [vm.ChunkPages]T
}

func newTable[T any]() table[T] { return table[T]{chunks: make(map[vm.Chunk]*cells[T])} }

// chunk is nil when nothing was ever kept there.
func (t *table[T]) chunk(c vm.Chunk) *cells[T] {
	if t.nearP != nil && t.near == c {
		return t.nearP
	}
	k := t.chunks[c]
	if k != nil {
		t.near, t.nearP = c, k
	}
	return k
}

func (t *table[T]) grow(c vm.Chunk) *cells[T] {
	k := t.chunk(c)
	if k == nil {
		if n := len(t.spare); n > 0 {
			k, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			k = new(cells[T])
		}
		t.chunks[c] = k
		t.near, t.nearP = c, k
	}
	return k
}

// peek is nil when the page's chunk is not kept.
func (t *table[T]) peek(p vm.Page) *T {
	if k := t.chunk(p.Chunk()); k != nil {
		return &k.cell[p%vm.ChunkPages]
	}
	return nil
}

// shed forgets the chunk when none of its cells is in use.
func (t *table[T]) shed(c vm.Chunk) {
	if k := t.chunk(c); k != nil && k.used == 0 {
		delete(t.chunks, c)
		t.nearP = nil
		if len(t.spare) < 4 {
			t.spare = append(t.spare, k)
		}
	}
}

// span is pages from first up to but not including end; unlike vm.Run it can
// be as long as the address space.
type span struct{ first, end vm.Page }

func (s span) has(p vm.Page) bool   { return p >= s.first && p < s.end }
func (s span) overlaps(o span) bool { return s.first < o.end && o.first < s.end }

// each calls f for the kept cells in s, in page order. Its cost follows what is
// kept, not the length of s. f may drop chunks.
func (t *table[T]) each(s span, f func(vm.Page, *T)) {
	if s.end <= s.first {
		return
	}
	for _, c := range t.kept(s.first.Chunk(), (s.end - 1).Chunk()) {
		k := t.chunks[c]
		if k == nil {
			continue
		}
		lo, hi := max(s.first, c.Page()), min(s.end, (c+1).Page())
		for p := lo; p < hi; p++ {
			f(p, &k.cell[p%vm.ChunkPages])
		}
	}
}

// kept lists the kept chunks from lo to hi, both included, in order.
func (t *table[T]) kept(lo, hi vm.Chunk) []vm.Chunk {
	var list []vm.Chunk
	if uint64(hi-lo) < uint64(len(t.chunks)) {
		for c := lo; c <= hi; c++ {
			if t.chunks[c] != nil {
				list = append(list, c)
			}
		}
		return list
	}
	for c := range t.chunks {
		if c >= lo && c <= hi {
			list = append(list, c)
		}
	}
	slices.Sort(list)
	return list
}
