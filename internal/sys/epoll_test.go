package sys

import (
	"testing"
	"time"
)

func newEpoll(t *testing.T) (*Epoll, *EventFD) {
	t.Helper()
	e, err := NewEpoll()
	check(t, err)
	ev, err := NewEventFD()
	check(t, err)
	t.Cleanup(func() { e.Close(); ev.Close() })
	return e, ev
}

// waitOut waits on after signals, such as the scheduler's own.
func waitOut(e *Epoll, events []Event, timeout time.Duration) (int, error) {
	for {
		if n, err := e.Wait(events, timeout); err != EINTR {
			return n, err
		}
	}
}

func TestEpollReportsTokens(t *testing.T) {
	e, ev := newEpoll(t)
	const token = 0xfedcba9876543210
	check(t, e.Add(ev.FD(), EPOLLIN, token))
	if err := e.Add(ev.FD(), EPOLLIN, 1); err != EEXIST {
		t.Errorf("added twice: %v", err)
	}
	events := make([]Event, 4)
	if n, err := waitOut(e, events, 0); n != 0 || err != nil {
		t.Errorf("%d events of nothing, %v", n, err)
	}
	go func() {
		ev.Signal()
		ev.Signal()
	}()
	n, err := waitOut(e, events, -1)
	if n != 1 || err != nil || events[0].Token() != token || events[0].Events != EPOLLIN {
		t.Fatalf("%d events %+v, %v", n, events[0], err)
	}
	check(t, e.Mod(ev.FD(), 0, 7))
	if n, err := waitOut(e, events, 0); n != 0 || err != nil {
		t.Errorf("%d events after Mod, %v", n, err)
	}
	check(t, e.Del(ev.FD()))
	if err := e.Mod(ev.FD(), 0, 7); err != ENOENT {
		t.Errorf("modified what is gone: %v", err)
	}
}

func TestEventFDCounts(t *testing.T) {
	_, ev := newEpoll(t)
	for range 3 {
		check(t, ev.Signal())
	}
	for _, want := range []uint64{3, 0} {
		if n, err := ev.Drain(); n != want || err != nil {
			t.Errorf("drained %d, %v; want %d", n, err, want)
		}
	}
}

func TestEpollWaitsNoLessThanAsked(t *testing.T) {
	e, _ := newEpoll(t)
	for _, old := range []bool{false, true} {
		e.noPwait.Store(old)
		start := Monotonic()
		if n, err := waitOut(e, make([]Event, 1), 300*time.Microsecond); n != 0 || err != nil {
			t.Errorf("%d events, %v", n, err)
		}
		if d := Monotonic() - start; d < 300*time.Microsecond {
			t.Errorf("old call %v: only %v", old, d)
		}
	}
}

func TestMillisRoundsUp(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-1: -1, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 1<<63 - 1: 1<<31 - 1,
	} {
		if got := millis(d); got != want {
			t.Errorf("%d ns: %d ms, want %d", d, got, want)
		}
	}
}

func TestEpollDoesNotAllocate(t *testing.T) {
	e, ev := newEpoll(t)
	check(t, e.Add(ev.FD(), EPOLLIN, 1))
	check(t, ev.Signal())
	events := make([]Event, 4)
	if n := testing.AllocsPerRun(100, func() { e.Wait(events, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations a wait", n)
	}
}
