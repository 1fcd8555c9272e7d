package coherence

import (
	"fmt"

	"popcorn/internal/vm"
)

// Busy tells in words what the machine waits for: transactions, queued requests,
// holds and its own outstanding requests. It is for whoever looks into a program
// that stands still.
func (m *Machine) Busy() []string {
	var out []string
	for _, id := range m.inOrder() {
		t := m.txns[id]
		out = append(out, fmt.Sprintf("transaction %d: %v for %v wants %v from %v granted %v waits for drops %v",
			id, t.run, t.by, t.want, t.src, t.granted, !t.acks.empty()))
	}
	for _, h := range m.holds {
		out = append(out, fmt.Sprintf("hold %d: want %v forget %v active %v held %v spans %v pending %d",
			h.id, h.want, h.forget, h.active, h.held, h.spans, len(h.pending)))
	}
	for _, p := range m.pend {
		out = append(out, fmt.Sprintf("own request: %v for %v", p.run, p.access))
	}
	if m.home() {
		m.dir.each(span{0, maxPage}, func(p vm.Page, e *entry) {
			if e.busy != nil && len(e.busy.queue) > 0 {
				out = append(out, fmt.Sprintf("queue of %v: %d waiting, locked %v, timed %v, kept until %v of %v",
					p.Addr(), len(e.busy.queue), e.locked(), e.busy.timed, e.until, m.now))
			}
		})
	}
	return out
}
