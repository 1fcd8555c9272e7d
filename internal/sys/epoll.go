package sys

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one ready descriptor; Events holds EPOLLIN and its kin.
type Event unix.EpollEvent

// Token is what Add was given for the descriptor.
func (e *Event) Token() uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }

func newEvent(events uint32, token uint64) unix.EpollEvent {
	return unix.EpollEvent{Events: events, Fd: int32(token), Pad: int32(token >> 32)}
}

// Epoll is an epoll(7) instance. One thread waits; Add, Mod and Del may be called
// by another meanwhile.
type Epoll struct {
	fd      int
	busy    bool        // the last Wait had something
	noPwait atomic.Bool // epoll_pwait2 is not to be had here
}

// NewEpoll makes one, close-on-exec.
func NewEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Epoll{fd: fd}, nil
}

// FD is the descriptor, still owned by e; it polls readable when something is ready.
func (e *Epoll) FD() int { return e.fd }

// Close closes the instance, not what was added to it.
func (e *Epoll) Close() error { return Close(e.fd) }

// Add reports events of fd with token. EEXIST when it is there already.
func (e *Epoll) Add(fd int, events uint32, token uint64) error {
	return e.ctl(unix.EPOLL_CTL_ADD, fd, events, token)
}

// Mod changes what is reported of fd. ENOENT when it is not there.
func (e *Epoll) Mod(fd int, events uint32, token uint64) error {
	return e.ctl(unix.EPOLL_CTL_MOD, fd, events, token)
}

// Del ends it; needed before closing fd when it has duplicates.
func (e *Epoll) Del(fd int) error { return e.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (e *Epoll) ctl(op, fd int, events uint32, token uint64) error {
	ev := newEvent(events, token)
	return unix.EpollCtl(e.fd, op, fd, &ev)
}

// Wait fills events and returns how many, 0 after timeout; negative timeouts
// mean none. EINTR when a signal came first.
//
// While events keep coming it does not tell Go's scheduler that it waits, as
// quick_unsafe.go explains. The scheduler then asks for the thread by a signal:
// at once when it needs it, and after 10 ms in any case, which is a sign that the
// thread may as well wait properly.
func (e *Epoll) Wait(events []Event, timeout time.Duration) (n int, err error) {
	n, err = e.wait(events, timeout, e.busy)
	e.busy = n > 0
	return n, err
}

func (e *Epoll) wait(events []Event, timeout time.Duration, quick bool) (int, error) {
	// Exact in milliseconds: the older call will do.
	if timeout > 0 && timeout%time.Millisecond != 0 && !e.noPwait.Load() {
		n, err := epollPwait2(e.fd, events, timeout, quick)
		if err != unix.ENOSYS && err != unix.EPERM { // a container's filter may not know it
			return n, err
		}
		e.noPwait.Store(true)
	}
	return epollWait(e.fd, events, millis(timeout), quick)
}

// millis rounds up: waking early would make the caller spin.
func millis(d time.Duration) int {
	if d < 0 {
		return -1
	}
	ms := d / time.Millisecond
	if d%time.Millisecond != 0 {
		ms++
	}
	return int(min(ms, 1<<31-1))
}

// EventFD wakes an Epoll from another thread or process.
type EventFD struct{ fd int }

// NewEventFD makes one, non-blocking and close-on-exec.
func NewEventFD() (*EventFD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &EventFD{fd: fd}, nil
}

// FD is the descriptor, still owned by e; it is readable once signalled.
func (e *EventFD) FD() int { return e.fd }

// Close closes it.
func (e *EventFD) Close() error { return Close(e.fd) }

// Signal makes it readable.
func (e *EventFD) Signal() error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], 1)
	_, err := TryWrite(e.fd, b[:])
	if err == unix.EAGAIN { // 2^64-2 signals nobody drained: it is readable
		return nil
	}
	return err
}

// Drain makes it not readable and returns how often it was signalled since.
func (e *EventFD) Drain() (uint64, error) {
	var b [8]byte
	_, err := TryRead(e.fd, b[:])
	if err == unix.EAGAIN {
		return 0, nil
	}
	return binary.NativeEndian.Uint64(b[:]), err
}

// Wait blocks until it is signalled, and drains it.
func (e *EventFD) Wait() error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		_, err = e.Drain()
		return err
	}
}

// Monotonic is CLOCK_MONOTONIC, comparable between the processes of a host (of
// one time namespace). It is read by way of the vDSO, as package time does.
func Monotonic() time.Duration { return atStart + time.Since(start) }

var (
	start   = time.Now()
	atStart = askMonotonic()
)

func askMonotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("clock_gettime: " + err.Error()) // the kernel has no other answer
	}
	return time.Duration(ts.Nano())
}
