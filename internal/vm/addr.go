package vm

import "fmt"

// Sizes in bytes and in pages. A chunk is the unit in which memory at home is
// put under our hand, the size of an x86-64 and arm64 huge page.
const (
	PageShift  = 12
	PageSize   = 1 << PageShift
	ChunkShift = 21
	ChunkSize  = 1 << ChunkShift
	ChunkPages = ChunkSize / PageSize
)

// Addr is an address in a guest, never in our own process.
type Addr uint64

// Page is a page number: an address divided by PageSize.
type Page uint64

// Chunk is a chunk number: an address divided by ChunkSize.
type Chunk uint64

func (a Addr) Page() Page   { return Page(a >> PageShift) }
func (a Addr) Chunk() Chunk { return Chunk(a >> ChunkShift) }

// Down rounds a down to its page's first byte.
func (a Addr) Down() Addr { return a &^ (PageSize - 1) }

// Up rounds a up to a page's first byte.
func (a Addr) Up() Addr { return (a + PageSize - 1) &^ (PageSize - 1) }

func (a Addr) String() string { return fmt.Sprintf("%#x", uint64(a)) }

func (p Page) Addr() Addr   { return Addr(p) << PageShift }
func (p Page) Chunk() Chunk { return Chunk(p >> (ChunkShift - PageShift)) }

func (c Chunk) Addr() Addr { return Addr(c) << ChunkShift }
func (c Chunk) Page() Page { return Page(c) << (ChunkShift - PageShift) }

// Run is N pages starting at First.
type Run struct {
	First Page
	N     uint32
}

// End is the page after the run's last.
func (r Run) End() Page { return r.First + Page(r.N) }

// Contains tells whether p lies in r.
func (r Run) Contains(p Page) bool { return p >= r.First && p < r.End() }

// Range is the run as a range of addresses.
func (r Run) Range() Range { return Range{r.First.Addr(), r.End().Addr()} }

func (r Run) String() string { return fmt.Sprintf("%#x+%d", uint64(r.First), r.N) }

// Range is the addresses from Start up to but not including End.
type Range struct{ Start, End Addr }

// Size is the range's length in bytes.
func (r Range) Size() uint64 {
	if r.End <= r.Start {
		return 0
	}
	return uint64(r.End - r.Start)
}

// Empty tells whether the range holds no address.
func (r Range) Empty() bool { return r.End <= r.Start }

// Contains tells whether a lies in r.
func (r Range) Contains(a Addr) bool { return a >= r.Start && a < r.End }

// Overlaps tells whether r and o share an address.
func (r Range) Overlaps(o Range) bool { return r.Start < o.End && o.Start < r.End }

// Intersect is the addresses in both; it may be empty.
func (r Range) Intersect(o Range) Range {
	return Range{max(r.Start, o.Start), min(r.End, o.End)}
}

// Pages is the run of pages that touch r. The range must be shorter than 16 TiB.
func (r Range) Pages() Run {
	if r.Empty() {
		return Run{First: r.Start.Page()}
	}
	first, end := r.Start.Page(), r.End.Up().Page()
	return Run{first, uint32(end - first)}
}

func (r Range) String() string { return fmt.Sprintf("%#x-%#x", uint64(r.Start), uint64(r.End)) }
