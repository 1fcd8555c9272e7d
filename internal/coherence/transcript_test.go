package coherence

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"popcorn/internal/vm"
)

// TestTranscripts plays the scenarios in testdata. Commands:
//
//	job nodes=N [maxrun=N] [hold=1ms] [holdmax=8ms] [untouched] [idle=N]   a fresh job; nothing runs at nodes 0 to N of it
//	read|write n=N page=P [want=N] [of=N]   a thread tries, and faults if it must
//	deliver from=A to=B              the oldest message between the two
//	deliver-all                      everything, until silence
//	hold|hold-all|forget id=I [page=P n=N] read|write
//	release id=I [unmap]
//	push to=N page=P n=N read|write
//	pass time=1ms                    time goes by
//	kill n=N                         a node dies
//	state page=P                     what each node has; what the directory says
//
// The answer is every message delivered and every effect, in order.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") || strings.Contains(path, "rapid") {
			t.Skip("not a transcript")
		}
		w := newWorld(2, 4, Config{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "job" {
				w = transcriptWorld(t, d)
				return ""
			}
			from := len(w.log)
			w.command(t, d)
			if len(w.log) == from {
				return "nothing"
			}
			return strings.Join(w.log[from:], "\n")
		})
	})
}

func transcriptWorld(t *testing.T, d *datadriven.TestData) *world {
	nodes, cfg := 2, Config{}
	var run int
	d.ScanArgs(t, "nodes", &nodes)
	d.MaybeScanArgs(t, "maxrun", &run)
	cfg.MaxRun = uint32(run)
	cfg.HoldBase, cfg.HoldMax = span2(t, d, "hold"), span2(t, d, "holdmax")
	if d.HasArg("untouched") {
		cfg.Untouched = func(vm.Page) (vm.Run, bool) { return vm.Run{}, false }
	}
	if idle := -1; d.HasArg("idle") {
		d.ScanArgs(t, "idle", &idle)
		cfg.Idle = func(n NodeID) bool { return int(n) <= idle }
	}
	return newWorld(nodes, 4, cfg)
}

func span2(t *testing.T, d *datadriven.TestData, key string) time.Duration {
	var s string
	if !d.MaybeScanArgs(t, key, &s) {
		return 0
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return v
}

func number(t *testing.T, d *datadriven.TestData, key string, def int) int {
	d.MaybeScanArgs(t, key, &def)
	return def
}

func (w *world) command(t *testing.T, d *datadriven.TestData) {
	page := vm.Page(number(t, d, "page", 0))
	n := number(t, d, "n", 1)
	a := Read
	if d.HasArg("write") {
		a = Write
	}
	runs := []vm.Run{{First: page, N: uint32(n)}}
	switch d.Cmd {
	case "read", "write":
		w.of = NodeID(number(t, d, "of", 0))
		w.attempt(w.nodes[n], page, map[string]Access{"read": Read, "write": Write}[d.Cmd], uint32(number(t, d, "want", 1)))
	case "deliver":
		w.deliver([2]NodeID{NodeID(number(t, d, "from", 0)), NodeID(number(t, d, "to", 0))})
	case "deliver-all":
		for list := w.pairs(); len(list) > 0; list = w.pairs() {
			w.deliver(list[0])
		}
	case "hold":
		w.lastID = uint64(number(t, d, "id", 1)) - 1
		w.hold(heldRuns{runs: runs, want: a})
	case "hold-all":
		w.lastID = uint64(number(t, d, "id", 1)) - 1
		w.hold(heldRuns{all: true, want: a})
	case "forget":
		w.lastID = uint64(number(t, d, "id", 1)) - 1
		w.hold(heldRuns{forget: true, runs: runs})
	case "release":
		w.release(uint64(number(t, d, "id", 1)), d.HasArg("unmap"))
	case "push":
		w.nodes[0].m.Push(w.now, NodeID(number(t, d, "to", 1)), runs[0], a)
		w.nodes[0].run(nil)
	case "pass":
		w.now += span2(t, d, "time")
		w.nodes[0].m.Tick(w.now)
		w.nodes[0].run(nil)
	case "kill":
		w.kill(NodeID(n))
	case "state":
		w.describe(page)
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

// attempt lets an idle thread of the node try; threads that were woken try again.
func (w *world) attempt(n *node, page vm.Page, a Access, want uint32) {
	for _, th := range n.threads {
		if th.busy && th.page == page && th.access == a && !th.blocked {
			n.step(th)
			return
		}
	}
	for _, th := range n.threads {
		if !th.busy {
			n.start(th, page, a, want)
			return
		}
	}
}

func (w *world) describe(p vm.Page) {
	for _, n := range w.nodes {
		if w.dead[n.id] {
			w.note("n%d is dead", n.id)
			continue
		}
		s := "missing"
		if c := n.kernel[p]; c != nil {
			s = fmt.Sprintf("%d writable", c.value)
			if c.protected {
				s = fmt.Sprintf("%d write-protected", c.value)
			}
		}
		w.note("n%d %v, kernel: %s", n.id, n.m.mode(p), s)
	}
	e := w.nodes[0].m.view(p)
	s := fmt.Sprintf("directory: %v", e.mode)
	for _, n := range w.nodes {
		if e.at(n.id) != Invalid {
			s += fmt.Sprintf(" %v", n.id)
		}
	}
	if !e.known {
		s += ", not stored"
	}
	w.note("%s", s)
}
