package coherence

import "popcorn/internal/vm"

// Mode is what this node has of page p.
func (m *Machine) Mode(p vm.Page) Mode { return m.mode(p) }
