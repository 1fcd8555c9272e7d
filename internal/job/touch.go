package job

import (
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// pingEvery is the time between two signs of life to nodes on other hosts.
const pingEvery = time.Second

// DefaultLossTimeout is for who says nothing else.
const DefaultLossTimeout = 10 * time.Second

// keepInTouch gives the other nodes a sign of life, again and again, and gives up
// those that give none. before is when it ran last: a supervisor that stood still
// itself, or got no processor, has no right to judge.
func (s *supervisor) keepInTouch(before time.Duration) {
	now := sys.Monotonic()
	stood := now-before > 3*pingEvery
	for n := range s.peers {
		s.send(n, wire.Header{Type: wire.TPing})
		if _, known := s.heard[n]; stood || !known {
			s.heard[n] = now
		}
		if silent := now - s.heard[n]; silent > s.cfg.Spec.LossTimeout {
			s.giveUp(n, fmt.Errorf("no sign of life for %v", silent.Round(time.Second)))
		}
	}
	s.loop.after(pingEvery, func() { s.keepInTouch(now) })
}

// giveUp ends the connection to a node that is lost.
func (s *supervisor) giveUp(n coherence.NodeID, why error) {
	c := s.peers[n]
	s.loop.remove(c.FD())
	c.Close()
	delete(s.peers, n)
	s.role.peerLost(n, why)
}

// nodeTitle names a node for people.
func (s *Spec) nodeTitle(n int) string {
	if n < len(s.Hosts) {
		return fmt.Sprintf("node %d (%s)", n, s.Hosts[n].Name)
	}
	return fmt.Sprintf("node %d", n)
}
