package pager

import "popcorn/internal/vm"

const (
	// maxRun is the most pages of one request, as the machine's MaxRun. Measured:
	// runs of 16 move six times as many pages a second as single ones, longer
	// runs still gain.
	maxRun = 64
	// maxAhead is the most pages asked for at a time, in several requests.
	maxAhead = 4 * maxRun
)

// streak is how sequentially a thread has faulted.
type streak struct {
	next vm.Page // where a sequential thread would fault next
	want uint32
}

// readAhead is how many pages to ask for when thread tid faults on page:
// doubling while it goes forward, one otherwise.
func (p *Pager) readAhead(tid int, page vm.Page) uint32 {
	s := p.ahead[tid]
	if s == nil {
		if len(p.ahead) > 4096 { // threads that are long gone
			clear(p.ahead)
		}
		s = &streak{}
		p.ahead[tid] = s
	}
	// The answer may have been shorter than what was asked for.
	if s.want > 0 && page <= s.next && page+vm.Page(s.want) >= s.next {
		s.want = min(2*s.want, maxAhead)
	} else {
		s.want = 1
	}
	s.next = page + vm.Page(s.want)
	return s.want
}
