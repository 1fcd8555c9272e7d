package job

import (
	"slices"
	"testing"
)

// TestWorldStop: the world stands when every thread is stopped or ending, not
// before; what was put off runs after it, but for threads that are gone.
func TestWorldStop(t *testing.T) {
	const none = 1 << 23 // behind the last thread id there can be
	a, b, c := &thread{tid: none}, &thread{tid: none + 1}, &thread{tid: none + 2, stopped: true}
	o := &origin{threads: map[int]*thread{a.tid: a, b.tid: b, c.tid: c}}
	var ran []string
	note := func(s string) func() { return func() { ran = append(ran, s) } }

	if o.putOff(a, note("never")) {
		t.Fatal("something was put off while nothing stops the world")
	}
	o.stopWorld(note("then"))
	a.stopped = true
	if !o.putOff(a, note("a")) || !o.putOff(c, note("c")) {
		t.Fatal("nothing was put off while the world is being stopped")
	}
	o.world.check()
	if len(ran) > 0 {
		t.Fatalf("%v ran before all threads stood", ran)
	}
	b.exiting, c.where = true, gone
	o.world.check()
	if want := []string{"then", "a"}; !slices.Equal(ran, want) || o.world != nil {
		t.Errorf("ran %v, want %v; world %v", ran, want, o.world)
	}
}
