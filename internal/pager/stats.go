package pager

import (
	"math/bits"
	"time"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// faultKind is how a fault is counted.
type faultKind uint8

const (
	readFault faultKind = iota
	writeFault
	upgradeFault
	faultKinds
)

func kindOf(f sys.Fault) faultKind {
	switch {
	case f.WP:
		return upgradeFault
	case f.Write:
		return writeFault
	}
	return readFault
}

// Stats counts what a pager did.
type Stats struct {
	Read, Write, Upgrade Histogram // faults, until their thread was woken
	Zeros                uint64    // grants of zero pages
	Sent, Received       uint64    // pages
	Bytes                uint64    // of page data sent
	Prefetched           uint64    // pages that came with another
}

// Merge adds o's counts to s.
func (s *Stats) Merge(o *Stats) {
	s.Read.Merge(&o.Read)
	s.Write.Merge(&o.Write)
	s.Upgrade.Merge(&o.Upgrade)
	s.Zeros += o.Zeros
	s.Sent += o.Sent
	s.Received += o.Received
	s.Bytes += o.Bytes
	s.Prefetched += o.Prefetched
}

// Histogram counts durations in powers of two of a microsecond, each divided in
// four: quantiles are right to a fifth.
type Histogram struct {
	Count   uint64
	Buckets [128]uint32
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) {
	us := uint64(max(d/time.Microsecond, 1))
	exp := bits.Len64(us) - 1
	frac := (us << 2 >> exp) & 3
	i := min(4*exp+int(frac), len(h.Buckets)-1)
	h.Buckets[i]++
	h.Count++
}

// Merge adds o's counts to h.
func (h *Histogram) Merge(o *Histogram) {
	h.Count += o.Count
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
}

// Quantile is the q-th quantile in microseconds; 0 of nothing.
func (h *Histogram) Quantile(q float64) float64 {
	rank := uint64(q * float64(h.Count))
	seen := uint64(0)
	for i, n := range h.Buckets {
		seen += uint64(n)
		if n > 0 && seen > rank {
			return float64(uint64(1)<<(i/4)) * (1 + float64(i%4)/4)
		}
	}
	return 0
}

// arrived notes that the pages of r can be used: who waited for one is awake.
func (p *Pager) arrived(r vm.Run) {
	asked := 0
	for page := r.First; page < r.End() && len(p.waiting) > 0; page++ {
		w, ok := p.waiting[page]
		if !ok {
			continue
		}
		delete(p.waiting, page)
		asked++
		d := p.cfg.Clock() - w.since
		switch w.kind {
		case readFault:
			p.Stats.Read.Add(d)
		case writeFault:
			p.Stats.Write.Add(d)
		case upgradeFault:
			p.Stats.Upgrade.Add(d)
		}
	}
	if asked > 0 && r.N <= maxRun {
		p.Stats.Prefetched += uint64(r.N) - uint64(asked)
	}
}
