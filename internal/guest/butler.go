package guest

import (
	"fmt"
	"time"

	"popcorn/internal/sys"
)

// butlerPatience is how long one call of the butler may take before its thread
// is looked at: a stop of the whole process stops it too.
const butlerPatience = 20 * time.Millisecond

// Errand names a call that BeginByButler began.
type Errand uint64

// errands is the butler's work: one call at a time, in the order they were begun.
type errands struct {
	last  Errand
	under bool // the last one has not been seen to end
	// ended is the one before the last, kept for who began it.
	ended struct {
		Errand
		ret uint64
		err error
	}
}

// ByButler makes one address-space call in the guest and waits for its end. The
// call must not touch memory that could be away. Its errno is the error.
func (p *Process) ByButler(nr uint64, args ...uint64) (uint64, error) {
	e, err := p.BeginByButler(nr, args...)
	if err != nil {
		return 0, err
	}
	return p.EndByButler(e)
}

// BeginByButler is ByButler without the wait, which EndByButler does: each
// errand's result can be had until the next but one is begun.
func (p *Process) BeginByButler(nr uint64, args ...uint64) (Errand, error) {
	b := &p.errands
	if b.under {
		b.ended.Errand = b.last
		b.ended.ret, b.ended.err = p.awaitButler()
	}
	if p.butlerGone {
		return 0, fmt.Errorf("ask butler %d: %w", p.Butler, ErrGone)
	}
	var a [6]uint64
	copy(a[:], args)
	p.Slots.Post(butlerSlot, nr, a)
	b.last++
	b.under = true
	return b.last, nil
}

// EndByButler waits for the end of the call e.
func (p *Process) EndByButler(e Errand) (uint64, error) {
	switch b := &p.errands; {
	case b.under && e == b.last:
		return p.awaitButler()
	case e == b.ended.Errand:
		return b.ended.ret, b.ended.err
	}
	panic(fmt.Sprintf("errand %d of the butler has been ended before", e))
}

func (p *Process) awaitButler() (uint64, error) {
	p.errands.under = false
	for start := sys.Monotonic(); !p.Slots.await(butlerSlot, butlerPatience); {
		if err := p.nudgeButler(); err != nil {
			return 0, err
		}
		if sys.Monotonic()-start > stopPatience {
			return 0, fmt.Errorf("wait for butler %d: %w", p.Butler, sys.ETIMEDOUT)
		}
	}
	ret := p.Slots.result(butlerSlot)
	return ret, errnoOf(ret)
}

// ButlerEnds tells that the butler's end has been seen: it is not to be asked any more.
func (p *Process) ButlerEnds() { p.butlerGone = true }

// nudgeButler resumes the butler when it stands in a stop of the whole process,
// and fails when it is gone.
func (p *Process) nudgeButler() error {
	tid, status, usage, err := sys.Wait(p.Butler, sys.WNOHANG)
	switch {
	case err != nil:
		p.butlerGone = true
		return fmt.Errorf("wait for butler %d: %w", p.Butler, ErrGone)
	case tid == 0:
		// Its stop may have been collected already and wait for its turn behind us.
		sys.Cont(p.Butler, 0) // ESRCH: it runs
		return nil
	case !status.Stopped(), sys.StopEvent(status) == sys.EVENT_EXIT:
		p.butlerGone = true
		p.tracer.later(Event{tid, status, usage})
		return fmt.Errorf("wait for butler %d: %w", p.Butler, ErrGone)
	}
	return sys.Cont(p.Butler, 0)
}
