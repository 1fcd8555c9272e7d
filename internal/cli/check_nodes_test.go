package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"popcorn/internal/node"
)

// fakeSurveyor knows nodes called by what is wrong with them.
type fakeSurveyor struct{}

func (fakeSurveyor) Members(context.Context) ([]node.Member, error) {
	return []node.Member{{Name: "well", Address: "10.0.0.1:1"}, {Name: "poor", Address: "10.0.0.2:1"}, {Name: "off", Address: "10.0.0.3:1"},
		{Name: "old", Address: "10.0.0.4:1"}, {Name: "gone", Address: "10.0.0.5:1", State: node.Left}}, nil
}

func (fakeSurveyor) Check(_ context.Context, name string) (node.Survey, error) {
	s := node.Survey{Node: name, Version: "1", Arch: "amd64", Findings: []node.Finding{{Name: "luck", OK: true, Required: true}},
		Link: &node.Link{RoundTrip: 250 * time.Microsecond, ClockAhead: -1500 * time.Microsecond, ClockError: 125 * time.Microsecond, Sent: 2e8, Received: 1e8}}
	switch name {
	case "poor":
		s.Findings = append(s.Findings, node.Finding{Name: "money", Required: true, Problem: "none: earn some"})
	case "off":
		return node.Survey{}, fmt.Errorf("node off is %w", node.ErrUnreachable)
	case "old":
		return node.Survey{}, fmt.Errorf("node old: %w", node.ErrVersion)
	}
	return s, nil
}

func TestCheckNodes(t *testing.T) {
	for _, c := range []struct {
		words []string
		code  int
		want  string
	}{
		{[]string{"well"}, 0, "well  ok     1        0.25 ms     -1.5 ms (±0.1)  200 MB/s  100 MB/s"},
		{[]string{"10.0.0.1"}, 0, "well  ok"},
		{[]string{"well,poor"}, exitFailed, "poor  money    MISSING  none: earn some"},
		{[]string{"old"}, exitFailed, "old   LACKING"},
		{[]string{"poor", "off"}, exitUnreachable, "node off is unreachable"},
		{[]string{"gone"}, exitAbsent, ""},
		{[]string{"stranger"}, exitAbsent, ""},
		{[]string{"a["}, exitUsage, ""},
	} {
		var out strings.Builder
		err := checkNodes(t.Context(), &out, fakeSurveyor{}, c.words, false)
		if codeOf(err) != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("check %v: exit code %d, %v, want %d and %q in\n%s", c.words, codeOf(err), err, c.code, c.want, out.String())
		}
	}
	var out strings.Builder
	err := checkNodes(t.Context(), &out, fakeSurveyor{}, []string{"poor", "off"}, true)
	for _, want := range []string{`"version": 1`, `"round_trip_ns": 250000`, `"problem": "none: earn some"`, `"reachable": false`} {
		if codeOf(err) != exitUnreachable || !strings.Contains(out.String(), want) {
			t.Errorf("no %s, or %v, in\n%s", want, err, out.String())
		}
	}
}
