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

// TestLongStopOfTheWorld: a stop lasts until its work says so, keeps errands of
// stopped threads waiting, and the next stop comes after it.
func TestLongStopOfTheWorld(t *testing.T) {
	th := &thread{tid: 1, stopped: true}
	o := &origin{threads: map[int]*thread{1: th}}
	var ran []string
	note := func(s string) func() { return func() { ran = append(ran, s) } }
	var done func()
	o.stopWorldUntil(func(d func()) { ran, done = append(ran, "first"), d })
	o.interrupt(th, note("errand"))
	o.stopWorld(note("second"))
	o.world.check()
	if want := []string{"first"}; !slices.Equal(ran, want) {
		t.Fatalf("ran %v, want %v", ran, want)
	}
	done()
	if want := []string{"first", "errand", "second"}; !slices.Equal(ran, want) || o.world != nil {
		t.Errorf("ran %v, want %v; world %v", ran, want, o.world)
	}
}
