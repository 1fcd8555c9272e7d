package job

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"popcorn/internal/sys"
)

// loop is a supervisor's only busy thread: it waits for descriptors and clocks
// and runs their handlers one after the other, so that nothing it owns needs a
// lock. All ptrace requests are made by it too.
type loop struct {
	epoll    *sys.Epoll
	bell     *sys.EventFD
	handlers map[uint64]func(events uint32)
	tokens   map[int]uint64
	last     uint64

	mu     sync.Mutex
	posted []func()

	timers []*timer
	// signalled runs when a signal ended a wait.
	signalled func()
	// before runs before every handler: it ends what the one before began.
	before func()
	// each runs after every turn; it may look at whatever changed.
	each func()
	// deadline is one more clock to wait for, zero for none.
	deadline func() (time.Duration, bool)
	expired  func()
	stopped  bool
}

// timer runs f once.
type timer struct {
	at time.Duration
	f  func()
}

func newLoop() (*loop, error) {
	e, err := sys.NewEpoll()
	if err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	bell, err := sys.NewEventFD()
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("make event descriptor: %w", err)
	}
	l := &loop{epoll: e, bell: bell, handlers: map[uint64]func(uint32){}, tokens: map[int]uint64{}}
	err = l.add(bell.FD(), func(uint32) { bell.Drain() })
	return l, err
}

func (l *loop) close() {
	l.epoll.Close()
	l.bell.Close()
}

// add runs f whenever fd is readable.
func (l *loop) add(fd int, f func(events uint32)) error { return l.watch(fd, sys.EPOLLIN, f) }

// edge is to be told once of what is new, and of the end of a stream.
const edge = sys.EPOLLIN | sys.EPOLLRDHUP | sys.EPOLLET

// addEdge runs f when something new can be read from fd: f reads everything, or
// calls again. It spares the kernel looking at fd another time.
func (l *loop) addEdge(fd int, f func(events uint32)) error { return l.watch(fd, edge, f) }

func (l *loop) watch(fd int, events uint32, f func(events uint32)) error {
	l.last++
	if err := l.epoll.Add(fd, events, l.last); err != nil {
		return fmt.Errorf("watch descriptor: %w", err)
	}
	l.handlers[l.last] = f
	l.tokens[fd] = l.last
	return nil
}

// rearm runs the handler of fd, which was added by addEdge, in another turn if
// there is still something to read or, when that is wanted, room to write.
func (l *loop) rearm(fd int, write bool) {
	events := uint32(edge)
	if write {
		events |= sys.EPOLLOUT
	}
	if t, ok := l.tokens[fd]; ok {
		l.epoll.Mod(fd, events, t)
	}
}

// remove ends watching fd; to be called before it is closed.
func (l *loop) remove(fd int) {
	if t, ok := l.tokens[fd]; ok {
		delete(l.tokens, fd)
		delete(l.handlers, t)
		l.epoll.Del(fd)
	}
}

// post runs f on the loop; it may be called from any goroutine.
func (l *loop) post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	l.bell.Signal()
}

// after runs f once, d from now.
func (l *loop) after(d time.Duration, f func()) *timer {
	t := &timer{sys.Monotonic() + d, f}
	l.timers = append(l.timers, t)
	return t
}

// cancel forgets a timer; nil and fired ones are fine.
func (l *loop) cancel(t *timer) {
	for i, o := range l.timers {
		if o == t {
			l.timers = append(l.timers[:i], l.timers[i+1:]...)
			return
		}
	}
}

// stop ends run: what runs now is the last.
func (l *loop) stop() { l.stopped = true }

func (l *loop) run() error {
	var events [64]sys.Event
	for !l.stopped {
		n, err := l.epoll.Wait(events[:], l.patience())
		switch {
		case errors.Is(err, sys.EINTR):
			l.before()
			l.signalled()
		case err != nil:
			return fmt.Errorf("wait for events: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if h := l.handlers[e.Token()]; h != nil && !l.stopped {
				l.before()
				h(e.Events)
			}
		}
		if l.stopped {
			break
		}
		l.runPosted()
		l.runTimers()
		l.each()
	}
	return nil
}

// patience is how long to wait at most; negative for ever.
func (l *loop) patience() time.Duration {
	next, any := l.deadline()
	for _, t := range l.timers {
		if !any || t.at < next {
			next, any = t.at, true
		}
	}
	if !any {
		return -1
	}
	return max(next-sys.Monotonic(), 0)
}

func (l *loop) runPosted() {
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		l.before()
		f()
	}
}

func (l *loop) runTimers() {
	at, ok := l.deadline()
	if !ok && len(l.timers) == 0 {
		return
	}
	now := sys.Monotonic()
	if ok && at <= now {
		l.before()
		l.expired()
	}
	for t := l.due(now); t != nil; t = l.due(now) {
		l.cancel(t)
		l.before()
		t.f() // it may set or cancel others
	}
}

// due is the timer to run first of those whose time has come, nil for none.
func (l *loop) due(now time.Duration) *timer {
	var first *timer
	for _, t := range l.timers {
		if t.at <= now && (first == nil || t.at < first.at) {
			first = t
		}
	}
	return first
}
