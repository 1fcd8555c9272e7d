package guest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"popcorn/internal/sys"
)

// Event is a change of a traced thread: it stopped, or it is gone.
type Event struct {
	TID    int
	Status sys.WaitStatus
	Usage  sys.Rusage
}

// Tracer waits for the threads of this supervisor's guests. A goroutine of its
// own peeks for events (waitid with WNOWAIT) and rings FD; the tracing thread
// collects them. So the tracing thread may also wait for one thread
// synchronously and no event is ever taken by another.
type Tracer struct {
	bell *sys.EventFD
	ack  *sys.EventFD // no channel: waking a goroutine takes several threads
	quit atomic.Bool
	done chan struct{}
	// abandoned: Close does not wait for the goroutine.
	abandoned bool
	// early holds what WaitStop met of other kinds.
	early []Event
}

// NewTracer starts the waiting goroutine; Close ends it.
func NewTracer() (*Tracer, error) {
	bell, err := sys.NewEventFD()
	if err != nil {
		return nil, fmt.Errorf("make event descriptor: %w", err)
	}
	ack, err := sys.NewEventFD()
	if err != nil {
		bell.Close()
		return nil, fmt.Errorf("make event descriptor: %w", err)
	}
	t := &Tracer{bell: bell, ack: ack, done: make(chan struct{})}
	go t.wait()
	return t, nil
}

// FD becomes readable when Events has something to collect.
func (t *Tracer) FD() int { return t.bell.FD() }

func (t *Tracer) wait() {
	defer close(t.done)
	runtime.LockOSThread()
	for !t.quit.Load() {
		err := sys.WaitPeek()
		if err == nil {
			t.bell.Signal()
		}
		// With no child (ECHILD) there is nothing to do until Kick.
		t.ack.Wait()
	}
}

// Kick makes the waiting goroutine look again, after a child has been started.
func (t *Tracer) Kick() { t.ack.Signal() }

// Abandon is for tracees that are let go, of which no wait is told, and for ones that
// end with this process: Close leaves the goroutine, and its descriptors, to its end.
func (t *Tracer) Abandon() { t.abandoned = true }

// Close ends the waiting goroutine. All children must have been reaped.
func (t *Tracer) Close() {
	t.quit.Store(true)
	t.ack.Signal()
	if t.abandoned {
		return
	}
	<-t.done
	t.bell.Close()
	t.ack.Close()
}

// maxEvents bounds how long Events keeps other work waiting.
const maxEvents = 64

// Events yields what there is to collect, each event only when the one before
// has been dealt with: what handles one may have to wait for another thread.
func (t *Tracer) Events(yield func(Event) bool) {
	t.bell.Drain()
	defer t.Kick()
	for range maxEvents {
		e, ok := t.next()
		if !ok || !yield(e) {
			break
		}
	}
	if len(t.early) > 0 {
		t.bell.Signal()
	}
}

// Signalled yields events as Events does, and may be called whenever a signal
// came: mostly SIGCHLD, which comes sooner than the bell.
func (t *Tracer) Signalled(yield func(Event) bool) {
	for range maxEvents {
		if e, ok := t.next(); !ok || !yield(e) {
			return
		}
	}
}

func (t *Tracer) next() (Event, bool) {
	if len(t.early) > 0 {
		e := t.early[0]
		t.early = t.early[1:]
		return e, true
	}
	tid, status, usage, err := sys.Wait(-1, sys.WNOHANG)
	return Event{tid, status, usage}, err == nil && tid != 0
}

// ErrGone is returned when a thread ended while it was waited for. It is ESRCH
// to who asks.
var ErrGone = fmt.Errorf("thread is gone: %w", sys.ESRCH)

// WaitStop waits for the next event of thread tid, which must be certain to
// come: it has just been resumed to make a call that does not block. When the
// thread ended instead, or was killed and stands in the stop before its end, that
// event is kept for Events: who lets it go on must see it.
func (t *Tracer) WaitStop(tid int) (sys.WaitStatus, error) {
	// Should it not come after all, the guest is ended rather than waited for.
	watch := time.AfterFunc(stopPatience, func() { sys.Kill(tid, sys.SIGKILL) })
	defer watch.Stop()
	status, usage, err := t.await(tid)
	if err != nil {
		return 0, fmt.Errorf("wait for thread %d: %w: %w", tid, ErrGone, err)
	}
	if !status.Stopped() || sys.StopEvent(status) == sys.EVENT_EXIT {
		t.later(Event{tid, status, usage})
		return status, fmt.Errorf("wait for thread %d: %w", tid, ErrGone)
	}
	return status, nil
}

// glance is how often a thread that gives no sign is looked at.
const glance = time.Millisecond

// await is wait4(2) for one thread, but that it ends too when the thread is a
// process's first and has died before the others: it was killed before it was
// resumed, so that it was resumed from the stop before its end. Its end is told
// when theirs are, and they stand in such stops of their own, which only the
// caller's caller will see.
func (t *Tracer) await(tid int) (sys.WaitStatus, sys.Rusage, error) {
	for {
		got, status, usage, err := sys.Wait(tid, sys.WNOHANG)
		if err != nil || got != 0 {
			return status, usage, err
		}
		// A child's SIGCHLD ends the nap. One that came before it costs a millisecond.
		if woken := sys.Nap(glance); !woken && dying(tid, tid) {
			return 0, usage, sys.ECHILD
		}
	}
}

// stopPatience is how long a thread that has been told to stop may take.
const stopPatience = 10 * time.Second

// later keeps an event for the next Events.
func (t *Tracer) later(e Event) {
	t.early = append(t.early, e)
	t.bell.Signal()
}
