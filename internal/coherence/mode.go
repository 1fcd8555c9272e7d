package coherence

import "popcorn/internal/vm"

// Mode is what this node has of page p.
func (m *Machine) Mode(p vm.Page) Mode { return m.mode(p) }

// Known is the parts of runs of which a remote has something, in order. Its cost
// follows them, not the length of runs.
func (m *Machine) Known(runs []vm.Run) []vm.Run {
	var list []vm.Run
	for _, r := range runs {
		m.modes.each(span{r.First, r.End()}, func(p vm.Page, mode *Mode) {
			if *mode == Invalid {
				return
			}
			if n := len(list); n > 0 && list[n-1].End() == p {
				list[n-1].N++
				return
			}
			list = append(list, vm.Run{First: p, N: 1})
		})
	}
	return list
}
