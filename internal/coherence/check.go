package coherence

import (
	"errors"
	"fmt"

	"popcorn/internal/vm"
)

// verify is Check made affordable after every step: of what the step touched, and
// of everything once as many steps have passed as that is large.
func (m *Machine) verify() error {
	const share = 16 * vm.ChunkPages // entries worth looking at for one step
	if m.unchecked += share; m.unchecked >= len(m.dir.chunks)*vm.ChunkPages {
		m.unchecked, m.touched = 0, m.touched[:0]
		return m.Check()
	}
	for _, p := range m.touched {
		if e := m.dir.peek(p); e != nil && e.known {
			if err := m.checkEntry(p, e); err != nil {
				return fmt.Errorf("check page %#x: %w", uint64(p), err)
			}
		}
	}
	m.touched = m.touched[:0]
	return errors.Join(m.checkPending(), m.checkHolds())
}

// Check tells whether the machine's state obeys the law. It looks at
// everything, so its cost follows the memory that was ever wanted.
func (m *Machine) Check() error {
	if err := m.checkPending(); err != nil || !m.home() {
		return err
	}
	var err error
	m.dir.each(span{0, maxPage}, func(p vm.Page, e *entry) {
		if err == nil && e.known {
			if err = m.checkEntry(p, e); err != nil {
				err = fmt.Errorf("check page %#x: %w", uint64(p), err)
			}
		}
	})
	if err != nil {
		return err
	}
	for id, t := range m.txns {
		for p := t.run.First; p < t.run.End(); p++ {
			if e := m.view(p); !e.locked() || e.busy.t != t {
				return fmt.Errorf("check transaction %d: page %#x is not locked by it", id, uint64(p))
			}
		}
	}
	return m.checkHolds()
}

func (m *Machine) checkPending() error {
	for i, p := range m.pend {
		if m.asked(p.run.First) != i {
			return fmt.Errorf("check requests: two for page %#x", uint64(p.run.First))
		}
	}
	return nil
}

func (m *Machine) checkEntry(p vm.Page, e *entry) error {
	if e.locked() {
		if t := e.busy.t; m.txns[t.id] != t || !t.run.Contains(p) {
			return fmt.Errorf("locked by a dead transaction")
		}
		return nil
	}
	if e.busy != nil && len(e.busy.queue) > 0 && !e.busy.timed && !m.heldAt(p) {
		return fmt.Errorf("%d requests wait for nothing", len(e.busy.queue))
	}
	if e.nobody() {
		if m.heldAt(p) {
			return nil
		}
		return fmt.Errorf("nobody has it")
	}
	if e.mode == Shared && !e.sharers.has(e.owner) {
		return fmt.Errorf("supplier %v has no copy", e.owner)
	}
	if e.home != e.at(Home) {
		return fmt.Errorf("home has it %v, the directory says %v", e.home, e.at(Home))
	}
	return nil
}

func (m *Machine) heldAt(p vm.Page) bool {
	for _, h := range m.holds {
		if h.active && h.has(p) {
			return true
		}
	}
	return false
}

func (m *Machine) checkHolds() error {
	for i, h := range m.holds {
		if !h.active && !excluded(m.holds[:i], h) {
			return fmt.Errorf("check hold %d: it waits for nothing", h.id)
		}
	}
	return nil
}
