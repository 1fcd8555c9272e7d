package sim

import (
	"testing"
	"time"
)

func TestEveryPatternEnds(t *testing.T) {
	for _, nodes := range []int{2, 3, 16} {
		r := Run(Config{Nodes: nodes, Pages: 64})
		t.Logf("\n%v", r)
		for _, w := range r.Rows {
			if w.Unfinished != 0 || w.Accesses == 0 {
				t.Errorf("%s on %d nodes: %d threads never ended, %d accesses", w.Pattern, nodes, w.Unfinished, w.Accesses)
			}
		}
	}
}

func TestThousandNodes(t *testing.T) {
	r := Run(Config{Nodes: 1000, Pages: 16, Rounds: 4})
	t.Logf("\n%v", r)
	for _, w := range r.Rows {
		if w.Unfinished != 0 {
			t.Errorf("%s: %d threads never ended", w.Pattern, w.Unfinished)
		}
	}
}

// TestCosts pins what the protocol is designed to cost.
func TestCosts(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		messages float64 // per fault, at most
	}{
		{"private", 2},     // request, zeros
		{"read-shared", 2}, // request, data
		{"ping-pong", 3},   // of home and node 1: request or fetch, data, acknowledgement
	} {
		w := Run(Config{Patterns: []string{c.pattern}}).Rows[0]
		if got := w.per(w.Messages); got > c.messages {
			t.Errorf("%s: %.2f messages a fault, designed for %.2f", c.pattern, got, c.messages)
		}
	}
	zero := Run(Config{Patterns: []string{"private"}}).Rows[0]
	if zero.Faults != 1 || zero.Bytes != 2*header {
		t.Errorf("first touch of an untouched chunk: %d faults, %d bytes", zero.Faults, zero.Bytes)
	}
}

// TestHoldTimePays: eight writers of one page get more done when nobody loses it
// at once.
func TestHoldTimePays(t *testing.T) {
	c := Config{Nodes: 8, Patterns: []string{"false-sharing"}}
	with := Run(c).Rows[0]
	c.HoldBase, c.HoldMax = time.Nanosecond, time.Nanosecond
	without := Run(c).Rows[0]
	if with.Faults*2 > without.Faults || with.Time > without.Time {
		t.Errorf("with the hold time %d faults in %v, without %d in %v", with.Faults, with.Time, without.Faults, without.Time)
	}
}
