package job

import (
	"fmt"
	"time"

	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

const (
	// pingEvery is the time between two signs of life to nodes on other hosts.
	pingEvery = time.Second
	// quiet is the silence after which a connection is made anew: whatever is
	// between the hosts may have forgotten it without telling. It costs little if
	// that was wrong.
	quiet = 5 * pingEvery / 2
)

// DefaultLossTimeout is for who says nothing else.
const DefaultLossTimeout = 10 * time.Second

// keepInTouch gives the other nodes a sign of life, again and again, and gives up
// those that give none. before is when it ran last: a supervisor that stood still
// itself, or got no processor, has no right to judge.
func (s *supervisor) keepInTouch(before time.Duration) {
	now := sys.Monotonic()
	stood := now-before > 3*pingEvery
	for n, c := range s.peers {
		if !c.Suspended() {
			s.send(n, wire.Header{Type: wire.TPing})
		}
		if _, known := s.heard[n]; stood || !known {
			s.heard[n] = now
		}
		switch silent := now - s.heard[n]; {
		case silent > s.cfg.Spec.LossTimeout:
			s.giveUp(n, fmt.Errorf("no sign of life for %v", silent.Round(time.Second)))
		case silent > quiet && !c.Suspended():
			s.broke(n, fmt.Errorf("silent for %v", silent.Round(time.Millisecond)))
		}
	}
	s.loop.after(pingEvery, func() { s.keepInTouch(now) })
}

// nodeTitle names a node for people.
func (s *Spec) nodeTitle(n int) string {
	if n < len(s.Hosts) {
		return fmt.Sprintf("node %d (%s)", n, s.Hosts[n].Name)
	}
	return fmt.Sprintf("node %d", n)
}
