package vm

import "sort"

// Prot is what a mapping allows.
type Prot uint8

const (
	ProtRead Prot = 1 << iota
	ProtWrite
	ProtExec
)

// Kind says how a mapping takes part in a distributed address space.
type Kind uint8

const (
	// Coherent memory is private and anonymous: it can be replicated and taken.
	Coherent Kind = iota
	// Immutable memory is a private file mapping that is not writable, or a
	// shared one that is only read: it can be replicated, home always keeps it.
	Immutable
	// HomeOnly memory cannot be made coherent (writable and shared with other
	// processes, devices, huge-page files): a thread that touches it goes home.
	HomeOnly
	// Local memory belongs to each node's own kernel or to us: vDSO, agent.
	Local
	// WritableFile is a private file mapping that may be written: it must become
	// anonymous before it can be Coherent.
	WritableFile
)

// Mapping is one range of an address space with uniform properties.
type Mapping struct {
	Range
	Prot      Prot
	Kind      Kind
	GrowsDown bool
	Name      string
}

// Set is a set of mappings that do not overlap, in address order.
type Set struct{ list []Mapping }

// All is the mappings in address order; it must not be modified.
func (s *Set) All() []Mapping { return s.list }

// index is the first mapping that ends after a.
func (s *Set) index(a Addr) int {
	return sort.Search(len(s.list), func(i int) bool { return s.list[i].End > a })
}

// Find is the mapping that contains a.
func (s *Set) Find(a Addr) (Mapping, bool) {
	i := s.index(a)
	if i < len(s.list) && s.list[i].Contains(a) {
		return s.list[i], true
	}
	return Mapping{}, false
}

// Overlapping is the mappings that share an address with r, cut to r.
func (s *Set) Overlapping(r Range) []Mapping {
	var out []Mapping
	for i := s.index(r.Start); i < len(s.list) && s.list[i].Start < r.End; i++ {
		m := s.list[i]
		m.Range = m.Range.Intersect(r)
		out = append(out, m)
	}
	return out
}

// Gaps is the parts of r that no mapping covers.
func (s *Set) Gaps(r Range) []Range {
	var out []Range
	at := r.Start
	for _, m := range s.Overlapping(r) {
		if m.Start > at {
			out = append(out, Range{at, m.Start})
		}
		at = m.End
	}
	if at < r.End {
		out = append(out, Range{at, r.End})
	}
	return out
}

// Remove takes r out of the set; mappings that reach beyond it are cut.
func (s *Set) Remove(r Range) {
	if r.Empty() {
		return
	}
	first := s.index(r.Start)
	last := first
	var keep []Mapping
	for ; last < len(s.list) && s.list[last].Start < r.End; last++ {
		m := s.list[last]
		if m.Start < r.Start {
			left := m
			left.End = r.Start
			keep = append(keep, left)
		}
		if m.End > r.End {
			right := m
			right.Start = r.End
			keep = append(keep, right)
		}
	}
	s.splice(first, last, keep)
}

// Insert puts m in, in place of whatever was there.
func (s *Set) Insert(m Mapping) {
	if m.Empty() {
		return
	}
	s.Remove(m.Range)
	i := s.index(m.Start)
	s.splice(i, i, []Mapping{m})
}

func (s *Set) splice(from, to int, with []Mapping) {
	tail := append(with, s.list[to:]...)
	s.list = append(s.list[:from:from], tail...)
}
