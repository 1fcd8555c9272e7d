package test

import (
	"encoding/json"
	"testing"
	"time"
)

// TestWide: 256 threads at once on 16 nodes lose nothing that they write, and
// every node has had its share of them.
func TestWide(t *testing.T) {
	v := variant{name: "spread16", nodes: 16, flags: []string{"--nodes", "16", "--spread"}}
	c := command{path: guest(t, "thr_wide"), args: []string{"256", full("20", "200"), "everywhere"}, deadline: full(3*time.Minute, 30*time.Minute)}
	o := run(t, c, v)
	if o.code != 0 || string(o.stdout) != "EXIT-SUCCESS\n" {
		t.Fatalf("exit code %d\nstdout: %s\nstderr: %s", o.code, o.stdout, tail(o.stderr))
	}
	var s struct {
		Nodes []struct {
			NID  int `json:"nid"`
			Peak int `json:"threads_peak"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(o.stats, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != v.nodes {
		t.Fatalf("%d nodes in the statistics", len(s.Nodes))
	}
	for _, n := range s.Nodes {
		if n.Peak < 16 {
			t.Errorf("node %d had at most %d threads at once, want 16", n.NID, n.Peak)
		}
	}
}
