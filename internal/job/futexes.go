package job

import (
	"encoding/binary"
	"time"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Threads of one node meet at its futexes without home. Who waits there is, for everybody
// else, a thread that has not come to its call yet: nobody can tell, for whoever wakes it has
// changed the word before, and it looks at that when it does come. It comes, its call is
// forwarded, as soon as this node loses its copy of the word, for then it may be changed
// elsewhere, and in any case after a while: who wakes may have changed the word here, and
// have moved.

// sleeper is a thread that waits here.
type sleeper struct {
	v    *visitor
	call sys.Notif
	word vm.Addr
	bits uint32
	// until is when its time is over, if timed, or it goes to home's queue: to wait there
	// on, or to hear from there that its time is over.
	until time.Duration
	timed bool
	lost  bool // it is to wait at home, as soon as may be
}

const (
	// sleepsHere is how long a thread waits here at most: longer than most waits for a lock,
	// and a delay that is bearable should all have gone wrong.
	sleepsHere = 20 * time.Millisecond
	// homeFirst is every how manyth wake goes to home's queue first: who waits there may
	// have come before, and must get its turn.
	homeFirst = 16
)

// Flags of futex operations (futex(2)).
const (
	futexPrivate  = 0x80
	futexRealtime = 0x100
)

// futex makes a futex call of v here, if it can be, and tells whether it did.
func (r *remote) futex(v *visitor, n sys.Notif) bool {
	flags := uint32(n.Args[1]) & (futexPrivate | futexRealtime)
	op, bits := uint32(n.Args[1])&^flags, ^uint32(0)
	if op == sys.FUTEX_WAIT_BITSET || op == sys.FUTEX_WAKE_BITSET {
		bits = uint32(n.Args[5])
	}
	if flags&futexPrivate == 0 || n.Args[0]%4 != 0 || bits == 0 || flags&futexRealtime != 0 && op != sys.FUTEX_WAIT_BITSET {
		return false // who else has the word is not known here, or the kernel knows what to say
	}
	switch op {
	case sys.FUTEX_WAIT, sys.FUTEX_WAIT_BITSET:
		return r.sleep(v, n, bits)
	case sys.FUTEX_WAKE, sys.FUTEX_WAKE_BITSET:
		return r.wake(v, n, bits)
	}
	// It may be for somebody who sleeps here (FUTEX_REQUEUE).
	r.lose(func(a vm.Addr) bool { return a == vm.Addr(n.Args[0]) })
	r.settle()
	return false
}

// sleep is FUTEX_WAIT and FUTEX_WAIT_BITSET of v.
func (r *remote) sleep(v *visitor, n sys.Notif, bits uint32) bool {
	var word [4]byte
	now := sys.Monotonic()
	s := &sleeper{v: v, call: n, word: vm.Addr(n.Args[0]), bits: bits, until: now + sleepsHere}
	if n.Args[3] != 0 {
		left, ok := r.timeLeft(n)
		if !ok {
			return false
		}
		if left < sleepsHere {
			s.timed, s.until = !r.stub.Foreign, now+left
		}
	}
	if !r.Peek(word[:], s.word) {
		return false
	}
	if binary.LittleEndian.Uint32(word[:]) != uint32(n.Args[2]) {
		r.answerFutex(n, errno(sys.EAGAIN))
		return true
	}
	v.state = asleep
	r.sleepers = append(r.sleepers, s)
	r.rouseAt(s.until)
	return true
}

// timeLeft is how long the wait n lasts at most. Only an absolute time can be told again by
// a call that is interrupted. By the clocks of a foreign node it is a guess.
func (r *remote) timeLeft(n sys.Notif) (time.Duration, bool) {
	op := uint32(n.Args[1])
	if op&^(futexPrivate|futexRealtime) != sys.FUTEX_WAIT_BITSET {
		return 0, false
	}
	var ts [16]byte
	if !r.Peek(ts[:], vm.Addr(n.Args[3])) {
		return 0, false
	}
	seconds, nanoseconds := binary.LittleEndian.Uint64(ts[:]), binary.LittleEndian.Uint64(ts[8:])
	if seconds > 1<<33 || nanoseconds >= uint64(time.Second) {
		return 0, false // the kernel knows what to say
	}
	now := sys.Monotonic() + r.clockLead
	if op&futexRealtime != 0 {
		now = time.Duration(sys.ReadClock(sys.CLOCK_REALTIME))
	}
	until := time.Duration(seconds)*time.Second + time.Duration(nanoseconds)
	return max(until-now, 0), true
}

// wake is FUTEX_WAKE and FUTEX_WAKE_BITSET of v, which wake those who wait here, and then, if
// they were to wake more, those at home.
func (r *remote) wake(v *visitor, n sys.Notif, bits uint32) bool {
	w := &waking{word: vm.Addr(n.Args[0]), bits: bits, most: int(int32(n.Args[2]))}
	if w.most <= 0 || !r.slept(w) {
		return false
	}
	if r.wakes++; r.wakes%homeFirst == 0 {
		v.waking = w
		r.forward(v, n)
		return true
	}
	w.woken = r.rouseUpTo(w, w.most)
	if w.woken == w.most {
		r.answerFutex(n, uint64(w.woken))
		return true
	}
	v.waking = w
	n.Args[2] = uint64(w.most - w.woken)
	r.forward(v, n)
	return true
}

// waking is a wake that home takes part in.
type waking struct {
	word        vm.Addr
	bits        uint32
	most, woken int
}

// wokeAtHome is the result of a wake of v that woke ret at home.
func (r *remote) wokeAtHome(v *visitor, ret uint64) uint64 {
	w := v.waking
	if v.waking = nil; w == nil || failed(ret) {
		return ret
	}
	if rest := w.most - w.woken - int(ret); rest > 0 {
		w.woken += r.rouseUpTo(w, rest)
	}
	return ret + uint64(w.woken)
}

func (s *sleeper) hears(w *waking) bool { return s.word == w.word && s.bits&w.bits != 0 }

// slept tells whether a thread sleeps here that w wakes.
func (r *remote) slept(w *waking) bool {
	for _, s := range r.sleepers {
		if s.hears(w) {
			return true
		}
	}
	return false
}

// rouseUpTo wakes at most n threads, who came first before others.
func (r *remote) rouseUpTo(w *waking, n int) (woken int) {
	r.eachSleeper(func(s *sleeper) bool {
		if woken == n || !s.hears(w) {
			return true
		}
		woken++
		r.rouse(s, 0)
		return false
	})
	return woken
}

// eachSleeper calls f for everybody who sleeps here and keeps those it says to. It must not
// be called by f.
func (r *remote) eachSleeper(f func(s *sleeper) (keep bool)) {
	kept := r.sleepers[:0]
	for _, s := range r.sleepers {
		if f(s) {
			kept = append(kept, s)
		}
	}
	clear(r.sleepers[len(kept):])
	r.sleepers = kept
}

// rouse has the call of s return ret.
func (r *remote) rouse(s *sleeper, ret uint64) {
	s.v.state = running
	if r.frozen {
		r.interrupt(s.v)
	}
	r.answerFutex(s.call, ret)
}

func (r *remote) answerFutex(n sys.Notif, ret uint64) {
	r.stats.answered[n.Nr]++
	answer(r.stub.Listener, n.ID, ret)
}

// rouseAt sees to it that rouseDue runs by then.
func (r *remote) rouseAt(at time.Duration) {
	if r.alarm != nil && r.alarm.at <= at {
		return
	}
	r.loop.cancel(r.alarm)
	r.alarm = r.loop.after(at-sys.Monotonic(), r.rouseDue)
}

// rouseDue ends the waits whose time has come.
func (r *remote) rouseDue() {
	r.alarm = nil
	now := sys.Monotonic()
	next := time.Duration(-1)
	r.eachSleeper(func(s *sleeper) bool {
		switch {
		case s.until > now:
			if next < 0 || s.until < next {
				next = s.until
			}
			return true
		case s.timed:
			r.rouse(s, errno(sys.ETIMEDOUT))
		default:
			r.forward(s.v, s.call)
		}
		return false
	})
	if next >= 0 {
		r.rouseAt(next)
	}
}

// wordsLost notes that this node has no copy of a run any more.
func (r *remote) wordsLost(gone run) {
	r.lose(func(a vm.Addr) bool { return gone.Contains(a.Page()) })
}

// lose notes which words home is to see to.
func (r *remote) lose(is func(word vm.Addr) bool) {
	for _, s := range r.sleepers {
		if is(s.word) {
			s.lost, r.someLost = true, true
		}
	}
}

// settle implements role: who waits for a word that is not here any more waits at home.
func (r *remote) settle() {
	if !r.someLost {
		return
	}
	r.someLost = false
	r.eachSleeper(func(s *sleeper) bool {
		if s.lost {
			r.forward(s.v, s.call)
		}
		return !s.lost
	})
}

// wakeForHome has a sleeper stop, as if a signal had come: home says whether it is one, and
// the kernel there what becomes of the call.
func (r *remote) wakeForHome(v *visitor) {
	r.eachSleeper(func(s *sleeper) bool {
		if s.v != v {
			return true
		}
		// What the kernel says too, but for a timed wait: that one would go on by itself
		// (restart_syscall(2)), in a kernel that has not seen it begin.
		code := sys.Errno(-restartSys)
		if s.call.Args[3] != 0 {
			code = sys.Errno(-restartNoHand)
		}
		r.interrupt(v)
		sys.NotifSend(r.stub.Listener, s.call.ID, 0, code)
		return false
	})
	v.state, v.interrupted = running, true
}
