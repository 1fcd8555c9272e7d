package job

import (
	"slices"
	"sync"
	"testing"
	"time"

	"popcorn/internal/sys"
)

func testLoop(t testing.TB) *loop {
	t.Helper()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.each, l.before = func() {}, func() {}
	l.deadline = func() (time.Duration, bool) { return 0, false }
	l.expired = func() {}
	l.signalled = func() {} // the Go run time sends itself some
	return l
}

// TestLoopPost: what other goroutines post runs on the loop, all of it.
func TestLoopPost(t *testing.T) {
	l := testLoop(t)
	const goroutines, each = 8, 100
	sum := 0
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				l.post(func() {
					if sum++; sum == goroutines*each {
						l.stop()
					}
				})
			}
		})
	}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if sum != goroutines*each {
		t.Errorf("%d of %d ran", sum, goroutines*each)
	}
}

// TestLoopSettles: what an earlier handler began is ended before any other runs,
// be it of a descriptor, a timer or posted.
func TestLoopSettles(t *testing.T) {
	l := testLoop(t)
	begun, left := false, 6
	l.before = func() { begun = false }
	handler := func() {
		if begun {
			t.Error("a handler runs before the work of the one before is done")
		}
		begun = true
		if left--; left == 0 {
			l.stop()
		}
	}
	for range 2 {
		bell, err := sys.NewEventFD()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { bell.Close() })
		if err := l.add(bell.FD(), func(uint32) { bell.Drain(); handler() }); err != nil {
			t.Fatal(err)
		}
		bell.Signal()
		l.after(0, handler)
		l.post(handler)
	}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	if left > 0 {
		t.Errorf("%d handlers did not run", left)
	}
}

// TestLoopTimers: timers run in the order of their times, however late the
// turn, cancelled ones not at all, and one may set or cancel others.
func TestLoopTimers(t *testing.T) {
	l := testLoop(t)
	var ran []string
	note := func(s string) func() { return func() { ran = append(ran, s) } }
	l.after(2*time.Millisecond, note("second"))
	never := l.after(3*time.Millisecond, note("never"))
	l.after(time.Millisecond, func() {
		ran = append(ran, "first")
		l.cancel(never)
		l.cancel(nil)
		l.after(20*time.Millisecond, func() { ran = append(ran, "last"); l.stop() })
	})
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"first", "second", "last"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
}

// TestLoopDescriptors: a handler runs while its descriptor is readable and not
// after it has been removed, even by a handler of the same turn.
func TestLoopDescriptors(t *testing.T) {
	l := testLoop(t)
	var fds [2]*sys.EventFD
	calls := 0
	for i := range fds {
		fd, err := sys.NewEventFD()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fd.Close() })
		fds[i] = fd
		fd.Signal()
	}
	for i := range fds {
		err := l.add(fds[i].FD(), func(uint32) {
			calls++
			l.remove(fds[0].FD())
			l.remove(fds[1].FD())
			l.stop()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	if calls != 1 {
		t.Errorf("%d handlers ran, want 1", calls)
	}
}

// TestLoopDeadline: the pager's clock ends a wait as a timer does.
func TestLoopDeadline(t *testing.T) {
	l := testLoop(t)
	at := sys.Monotonic() + time.Millisecond
	l.deadline = func() (time.Duration, bool) { return at, true }
	l.expired = l.stop
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	if now := sys.Monotonic(); now < at {
		t.Errorf("expired %v early", at-now)
	}
}
