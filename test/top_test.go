package test

import (
	"encoding/json"
	"testing"
	"time"
)

// TestTop: of a program that runs, top and inspect know what it does at other nodes.
func TestTop(t *testing.T) {
	r := start(t, command{path: guest(t, "moves_compute"), args: []string{"20"}}, allAway)
	type node struct {
		NID     int
		Threads int
		CPU     float64 `json:"cpu"`
		Seconds float64 `json:"cpu_seconds"`
	}
	r.until("inspect tells of processor time at node 1", func() bool {
		out, err := r.popcorn(10*time.Second, "inspect", r.id)
		var job struct{ Stats struct{ Nodes []node } }
		if err != nil || json.Unmarshal(out, &job) != nil {
			return false
		}
		return len(job.Stats.Nodes) == 2 && job.Stats.Nodes[1].Seconds > 0
	})
	out, err := r.popcorn(10*time.Second, "top", r.id, "--json", "--every", "500ms")
	var doc struct {
		Version int
		Jobs    []struct {
			Nodes  []node
			Faults map[string]float64
		}
	}
	if err == nil {
		err = json.Unmarshal(out, &doc)
	}
	if err != nil || doc.Version != 1 || len(doc.Jobs) != 1 || len(doc.Jobs[0].Nodes) != 2 {
		t.Fatalf("top --json: %v\n%s", err, out)
	}
	if n := doc.Jobs[0].Nodes[1]; n.Threads == 0 || n.CPU <= 0 {
		t.Errorf("node 1, where all computes, is shown as %+v", n)
	}
	if out, err := r.popcorn(10*time.Second, "kill", "-s", "KILL", r.id); err != nil {
		t.Errorf("kill: %v\n%s", err, out)
	}
	if o := r.wait(); o.code != 128+9 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}
