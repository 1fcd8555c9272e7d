package coherence

import "math/bits"

// nodeSet is a set of nodes: one word up to 64 of them, more behind a pointer.
type nodeSet struct {
	lo uint64
	hi *[]uint64
}

func (s nodeSet) has(n NodeID) bool {
	if n < 64 {
		return s.lo&(1<<n) != 0
	}
	w := int(n/64) - 1
	return s.hi != nil && w < len(*s.hi) && (*s.hi)[w]&(1<<(n%64)) != 0
}

func (s *nodeSet) add(n NodeID) {
	if n < 64 {
		s.lo |= 1 << n
		return
	}
	if s.hi == nil {
		s.hi = new([]uint64)
	}
	w := int(n/64) - 1
	for len(*s.hi) <= w {
		*s.hi = append(*s.hi, 0)
	}
	(*s.hi)[w] |= 1 << (n % 64)
}

func (s *nodeSet) remove(n NodeID) {
	if n < 64 {
		s.lo &^= 1 << n
	} else if w := int(n/64) - 1; s.hi != nil && w < len(*s.hi) {
		(*s.hi)[w] &^= 1 << (n % 64)
	}
}

func (s nodeSet) empty() bool { return s.len() == 0 }

func (s nodeSet) len() int {
	n := bits.OnesCount64(s.lo)
	if s.hi != nil {
		for _, w := range *s.hi {
			n += bits.OnesCount64(w)
		}
	}
	return n
}

// next is the least member from n on.
func (s nodeSet) next(n int) (NodeID, bool) {
	for w := n / 64; ; w++ {
		var word uint64
		switch {
		case w == 0:
			word = s.lo
		case s.hi == nil || w > len(*s.hi):
			return 0, false
		default:
			word = (*s.hi)[w-1]
		}
		if w == n/64 {
			word &= ^uint64(0) << (n % 64)
		}
		if word != 0 {
			return NodeID(w*64 + bits.TrailingZeros64(word)), true
		}
	}
}

// clone shares nothing with s.
func (s nodeSet) clone() nodeSet {
	if s.hi != nil {
		hi := append([]uint64(nil), *s.hi...)
		s.hi = &hi
	}
	return s
}

// equal tells whether both have the same members.
func (s nodeSet) equal(o nodeSet) bool {
	if s.hi == nil && o.hi == nil {
		return s.lo == o.lo
	}
	if s.len() != o.len() {
		return false
	}
	for n, ok := s.next(0); ok; n, ok = s.next(int(n) + 1) {
		if !o.has(n) {
			return false
		}
	}
	return true
}
