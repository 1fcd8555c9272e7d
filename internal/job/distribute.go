package job

import (
	"errors"
	"fmt"
	"slices"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// prepared calls f when the job is distributed and node n has joined it, or with
// the reason why not.
func (o *origin) prepared(n coherence.NodeID, t *thread, f func(error)) {
	st := o.nodes[n]
	switch {
	case st == nil:
		f(fmt.Errorf("node %d: %w", n, control.ErrNoSuchNode))
	case o.closed(n) != nil:
		f(o.closed(n))
	case t.sandboxed:
		f(o.mayMove(t))
	case !o.distributed:
		o.joinEarly(n)
		o.distribute(t, func(err error) {
			if err != nil {
				f(err)
				return
			}
			o.prepared(n, t, f)
		})
	case !st.joined:
		o.join(n, f)
	default:
		o.brief(n)
		f(nil)
	}
}

// joinEarly has a node get ready for the program while that is got ready for it.
func (o *origin) joinEarly(n coherence.NodeID) {
	st := o.nodes[n]
	if !st.joined && len(st.joining) == 0 && !o.attached() && !o.starting && o.cannot == nil && o.allMayMove() == nil {
		o.join(n, func(error) {}) // who is told of it asks again
	}
}

// brief tells a node that joined early of the program's mappings.
func (o *origin) brief(n coherence.NodeID) {
	st := o.nodes[n]
	if st.briefed {
		return
	}
	st.briefed = true
	ms, err := o.proc.Mappings()
	if err != nil {
		return // the program is dying
	}
	ms = slices.DeleteFunc(ms, func(m vm.Mapping) bool { return !sharable(m.Kind) })
	for _, m := range ms {
		st.told.Insert(m)
	}
	o.send(n, wire.Header{Type: wire.TMap}, encodeMappings(ms))
}

// distribute puts the program's memory under our hand; t is a stopped thread.
func (o *origin) distribute(t *thread, f func(error)) {
	o.waiting = append(o.waiting, f)
	if o.starting {
		return
	}
	err := o.cannot
	if err == nil {
		err = o.allMayMove() // before they are stopped
	}
	if err != nil {
		o.waiting = nil
		f(err)
		return
	}
	o.starting = true
	o.stopWorld(func() {
		err := o.allMayMove() // and now that they can do nothing about it any more
		if err == nil {
			err = o.distributeNow(t)
			if err != nil && o.attached() {
				o.undistribute()
			}
		}
		o.starting = false
		o.distributed = err == nil
		if err != nil {
			o.logf("distribute: %v", err)
			err = fmt.Errorf("prepare program for having threads away: %w", err)
			if !o.attached() && !errors.Is(err, errSandboxed) && !errors.Is(err, control.ErrNoSuchThread) && !errors.Is(err, sys.ESRCH) {
				o.cannot = err // half of it is there: the next try would fail for that
			}
		}
		waiting := o.waiting
		o.waiting = nil
		for _, f := range waiting {
			f(err)
		}
	})
}

func (o *origin) distributeNow(t *thread) error {
	if t = o.usable(t); t == nil {
		return fmt.Errorf("all threads are ending: %w", control.ErrNoSuchThread)
	}
	if o.attached() {
		if err := o.bind(); err != nil {
			return err
		}
	}
	h, err := o.proc.Distribute(t.tid, o.listener >= 0 || o.attached())
	if err != nil {
		return err
	}
	o.butler, o.holder = o.proc.Butler, o.proc.Holder
	o.uffd = h.UFFD
	keep := []int{o.proc.Pidfd, h.UFFD.FD()}
	if h.Listener >= 0 {
		o.listener = h.Listener
		keep = append(keep, h.Listener)
		if err := o.loop.add(h.Listener, o.notified); err != nil {
			return err
		}
	}
	o.report(fromSupervisor{Keep: true}, keep...)
	if main := o.threads[o.proc.PID]; main != nil && main.cleartid == 0 {
		main.unasked = true
	}
	for _, t := range o.threads {
		if t.unasked && t.callable() {
			t.unasked = false
			o.learnTidAddress(t)
		}
	}
	if err := o.proc.AnonymizeAll(); err != nil {
		return err
	}
	if err := o.proc.KeepAll(); err != nil {
		return err
	}
	o.mem = pager.NewHome(o.proc, h.UFFD)
	o.served = map[*thread]served{}
	return o.newPager(o.mem, h.UFFD, homeKnows{o.mem.Untouched, o.idle, o.caller}, func(p page) { o.unmappedAtHome(p) }, nil)
}

// usable is t or, when it has ended meanwhile, another thread that stands
// stopped and can make calls for us.
func (o *origin) usable(t *thread) *thread {
	if t.callable() {
		return t
	}
	for _, other := range o.threads {
		if other.callable() {
			return other
		}
	}
	return nil
}

// unmappedAtHome cannot happen to a thread: home's faults come from mappings
// that are there. A mapping that went meanwhile needs no more than a wake-up.
func (o *origin) unmappedAtHome(p page) { o.uffd.Wake(uint64(p.Addr()), vm.PageSize) }

// learnTidAddress notes where the kernel clears the first thread's id when it
// exits; of others it is known from their making (clearedAt).
func (o *origin) learnTidAddress(t *thread) {
	a, err := o.proc.TidAddress(t.tid)
	if err != nil {
		o.logf("tid address of %d: %v", t.tid, err)
		return
	}
	t.cleartid = a
}

// join makes node n part of the running program; brief is still to come when that is not
// distributed yet.
func (o *origin) join(n coherence.NodeID, f func(error)) {
	st := o.nodes[n]
	st.joining = append(st.joining, f)
	if len(st.joining) > 1 {
		o.brief(n)
		return
	}
	st.briefed = o.distributed
	ms, err := o.proc.Mappings()
	if !st.briefed { // but for the kernel's own they are about to change
		ms = slices.DeleteFunc(ms, func(m vm.Mapping) bool { return m.Kind != vm.Local })
	}
	var machine guest.Machine
	if err == nil {
		machine, err = o.machine()
	}
	var payload []byte
	if err == nil {
		payload, err = encodeJoin(machine, ms)
	}
	if err != nil {
		o.joined(n, err)
		return
	}
	st.told = vm.Set{}
	for _, m := range ms {
		if sharable(m.Kind) {
			st.told.Insert(m)
		}
	}
	o.send(n, wire.Header{Type: wire.TJoin, ID: uint64(o.epoch), Count: uint32(o.proc.PID)}, payload)
}

// machine is what a node that joins must know of this one.
func (o *origin) machine() (guest.Machine, error) {
	m, vdso, err := guest.ReadMachine(o.proc)
	if err != nil {
		return m, err
	}
	m.Baseline, o.cpu = o.baseline(), m.CPU
	ours, err := guest.ReadClocks(sys.Getpid())
	o.vdso, o.itsClocks = vdso, err == nil && m.Clocks.Same(ours)
	return m, err
}

func (o *origin) joined(n coherence.NodeID, err error) {
	st := o.nodes[n]
	st.joined = err == nil
	if st.joined && o.stop.on {
		o.send(n, wire.Header{Type: wire.TFreeze})
	}
	waiting := st.joining
	st.joining = nil
	for _, f := range waiting {
		f(err)
	}
}
