package job

import (
	"fmt"
	"testing"
)

func TestSpreadGoesRoundByNodesOrSlots(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Nodes: 3}, "[0 1 2 0 1 2 0]"},
		{Spec{Nodes: 3, Slots: []int{1, 3, 1}}, "[0 1 1 1 2 0 1]"},
		{Spec{Nodes: 2, Slots: []int{0, 2}}, "[1 1 1 1 1 1 1]"},
	} {
		var got []int
		for n := range 7 {
			got = append(got, int(c.spec.spreadTo(n)))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%d nodes with slots %v: %v, want %s", c.spec.Nodes, c.spec.Slots, got, c.want)
		}
	}
}
