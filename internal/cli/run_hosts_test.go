package cli

import (
	"errors"
	"fmt"
	"testing"

	"popcorn/internal/job"
	"popcorn/internal/node"
)

// TestHostsBecomeNodes: this host is home whether it is listed or not, the others
// are numbered as listed, and who is listed twice has the slots of both.
func TestHostsBecomeNodes(t *testing.T) {
	member := func(name, ip string) node.Member {
		return node.Member{Name: name, Address: ip + ":7946", State: node.Alive}
	}
	here := member("here", "10.0.0.1")
	silent := member("quiet", "10.0.0.9")
	silent.State = node.Unreachable
	draining := member("leaving", "10.0.0.8")
	draining.State = node.Draining
	members := []node.Member{here, member("b", "10.0.0.2"), member("c", "10.0.0.3"), silent, draining}
	for list, want := range map[string]string{
		"b":              "[{here 10.0.0.1} {b 10.0.0.2}] [1 1]",
		"c:4,b:2":        "[{here 10.0.0.1} {c 10.0.0.3} {b 10.0.0.2}] [1 4 2]",
		"b,here:3":       "[{here 10.0.0.1} {b 10.0.0.2}] [3 1]",
		"b,b:2":          "[{here 10.0.0.1} {b 10.0.0.2}] [1 3]",
		"10.0.0.3,b":     "[{here 10.0.0.1} {c 10.0.0.3} {b 10.0.0.2}] [1 1 1]",
		"here":           "[] []",
		"quiet":          "[{here 10.0.0.1} {quiet 10.0.0.9}] [1 1]", // it may have come back
		"10.0.0.2:2,b:1": "[{here 10.0.0.1} {b 10.0.0.2}] [1 3]",
	} {
		hosts, err := parseHosts(list)
		if err != nil {
			t.Fatal(err)
		}
		s := job.Spec{Nodes: 1}
		err = placeHosts(&s, here, members, hosts)
		if got := fmt.Sprint(s.Hosts, s.Slots); err != nil || got != want || s.Nodes != max(len(s.Hosts), 1) {
			t.Errorf("%s: %s, %d nodes, %v; want %s", list, got, s.Nodes, err, want)
		}
	}
	for name, want := range map[string]error{"stranger": node.ErrNoSuchNode, "leaving": node.ErrRefused} {
		if err := placeHosts(&job.Spec{}, here, members, []hostSlots{{name, 1}}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
