package coherence

import (
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"popcorn/internal/vm"
)

// TestProperties drives random jobs. World checks the law after every step.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { randomJob(t, 150) })
}

func TestPropertiesLong(t *testing.T) {
	if os.Getenv("POPCORN_SOAK") == "" {
		t.Skip("long variant: set POPCORN_SOAK=1")
	}
	rapid.Check(t, func(t *rapid.T) { randomJob(t, 5000) })
}

func randomJob(t *rapid.T, steps int) {
	nodes := rapid.IntRange(2, 5).Draw(t, "nodes")
	cfg := Config{MaxRun: uint32(rapid.IntRange(1, 6).Draw(t, "maxrun"))}
	if rapid.Bool().Draw(t, "guarded") {
		cfg.HoldBase, cfg.HoldMax = time.Millisecond, 8*time.Millisecond
	}
	if idlers := rapid.IntRange(0, 31).Draw(t, "idle"); idlers > 0 {
		cfg.Idle = func(n NodeID) bool { return idlers&(1<<n) != 0 }
	}
	if rapid.Bool().Draw(t, "untouched") {
		cfg.Untouched = func(vm.Page) (vm.Run, bool) { return vm.Run{}, false }
	}
	// What may be tried: 0..49 deliver, then threads, time, holds, mappings.
	top := rapid.SampledFrom([]int{89, 95, 99, 100}).Draw(t, "violence")
	w := newWorld(nodes, 3, cfg)
	pages := rapid.IntRange(1, 20).Draw(t, "pages")
	for range steps {
		w.random(t, rapid.IntRange(0, top).Draw(t, "do"), pages)
	}
	clear(w.frail)
	w.quiesce()
}

func drawPage(t *rapid.T, pages int) vm.Page {
	// The pages lie around the border of two chunks.
	return vm.Page(vm.ChunkPages - 6 + rapid.IntRange(0, pages-1).Draw(t, "page"))
}

func (w *world) random(t *rapid.T, what, pages int) {
	switch {
	case what == 100:
		if len(w.dead) == 0 {
			w.kill(NodeID(rapid.IntRange(1, len(w.nodes)-1).Draw(t, "dies")))
		}
	case what < 50:
		if list := w.pairs(); len(list) > 0 {
			w.deliver(rapid.SampledFrom(list).Draw(t, "pair"))
		}
	case what < 80:
		w.randomThread(t, pages)
	case what < 85:
		w.now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "µs")) * time.Microsecond
		w.nodes[0].m.Tick(w.now)
		w.nodes[0].run(nil)
	case what < 90:
		w.randomPush(t, pages)
	case what < 96:
		w.randomHold(t, pages)
	default:
		w.randomMapping(t, pages)
	}
}

func (w *world) randomThread(t *rapid.T, pages int) {
	n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
	if w.dead[n.id] {
		return
	}
	th := n.threads[rapid.IntRange(0, len(n.threads)-1).Draw(t, "thread")]
	switch {
	case !th.busy:
		a := Access(rapid.IntRange(0, 1).Draw(t, "access"))
		w.of = NodeID(rapid.IntRange(0, len(w.nodes)-1).Draw(t, "of"))
		n.start(th, drawPage(t, pages), a, uint32(rapid.IntRange(1, 8).Draw(t, "want")))
	case !th.blocked:
		n.step(th)
	default: // the kernel reports a fault again
		n.m.FaultFor(w.now, th.of, th.page, th.access, th.want)
		n.run(nil)
	}
}

func (w *world) randomPush(t *rapid.T, pages int) {
	to := NodeID(rapid.IntRange(1, len(w.nodes)-1).Draw(t, "to"))
	a := Access(rapid.IntRange(0, 1).Draw(t, "access"))
	if w.dead[to] {
		return
	}
	w.nodes[0].m.Push(w.now, to, vm.Run{First: drawPage(t, pages), N: uint32(rapid.IntRange(1, 9).Draw(t, "n"))}, a)
	w.nodes[0].run(nil)
}

func (w *world) randomHold(t *rapid.T, pages int) {
	if ids := w.heldIDs(); len(ids) > 0 && rapid.Bool().Draw(t, "release") {
		w.release(rapid.SampledFrom(ids).Draw(t, "id"), false)
		return
	}
	if len(w.waiting)+len(w.held) > 4 {
		if h, ok := w.waiting[w.lastID]; ok && !h.forget { // given up
			delete(w.waiting, w.lastID)
			w.note("home gives up hold %d", w.lastID)
			w.nodes[0].m.Release(w.now, w.lastID)
			w.nodes[0].run(nil)
		}
		return
	}
	h := heldRuns{want: Access(rapid.IntRange(0, 1).Draw(t, "access"))}
	if rapid.IntRange(0, 5).Draw(t, "all") == 0 {
		h.all = true
	} else {
		h.runs = w.randomRuns(t, pages)
	}
	w.hold(h)
}

func (w *world) randomRuns(t *rapid.T, pages int) []vm.Run {
	var runs []vm.Run
	for range rapid.IntRange(1, 2).Draw(t, "runs") {
		n := uint32(rapid.IntRange(1, 6).Draw(t, "n"))
		runs = append(runs, vm.Run{First: drawPage(t, pages), N: n})
	}
	return runs
}

func (w *world) randomMapping(t *rapid.T, pages int) {
	if len(w.waiting)+len(w.held) > 4 {
		return
	}
	switch p := drawPage(t, pages); rapid.IntRange(0, 2).Draw(t, "change") {
	case 0:
		w.hold(heldRuns{forget: true, runs: w.randomRuns(t, pages)})
	case 1:
		if ids := w.heldIDs(); len(ids) > 0 {
			w.release(ids[0], true)
		}
		w.gone[p] = false
	default:
		w.frail[p] = true
	}
}
