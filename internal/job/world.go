package job

import (
	"errors"

	"popcorn/internal/guest"
	"popcorn/internal/sys"
)

// worldStop is a stop of all threads at home, which distribution needs. While it
// lasts nobody is resumed: what would be is put off until the end.
type worldStop struct {
	o    *origin
	then func(done func())
	off  []func()
	// all: every thread has stopped, and then is at work.
	all bool
}

// stopWorld calls then when every thread of the program is stopped, for whatever
// reason, and resumes those that were stopped for this alone afterwards.
func (o *origin) stopWorld(then func()) {
	o.stopWorldUntil(func(done func()) {
		then()
		done()
	})
}

// stopWorldUntil is stopWorld for work that takes more than one turn of the loop:
// the threads stay stopped until done is called. Another stop waits for its end.
func (o *origin) stopWorldUntil(then func(done func())) {
	if o.world != nil {
		o.nextWorlds = append(o.nextWorlds, then)
		return
	}
	o.world = &worldStop{o: o, then: then}
	for _, t := range o.threads {
		if !t.stopped && !t.exiting {
			sys.Interrupt(t.tid) // ESRCH: it ends, which is reported
		}
	}
	o.world.check()
}

// check runs then once all are stopped.
func (w *worldStop) check() {
	if w.all {
		return
	}
	for _, t := range w.o.threads {
		if !t.stopped && !t.exiting {
			return
		}
	}
	w.all = true
	w.then(w.end)
}

// end lets the threads go on, and begins the next stop that waits.
func (w *worldStop) end() {
	o := w.o
	o.world = nil
	for _, f := range w.off {
		f()
	}
	if next := o.nextWorlds; len(next) > 0 && o.world == nil {
		o.nextWorlds = next[1:]
		o.stopWorldUntil(next[0])
	}
}

// putOff keeps t stopped and runs f at the end of a stop of the world; false
// when there is none.
func (o *origin) putOff(t *thread, f func()) bool {
	if o.world == nil {
		return false
	}
	o.world.off = append(o.world.off, func() {
		if t.where != gone && t.stopped {
			f()
		}
	})
	return true
}

// mendInterrupted makes a call that a mere stop ended with EINTR be made again, and
// tells whether it did. The kernel itself restarts all others (kernel-internal codes
// -512 to -516); what a shadow is at, callAgain does.
func (o *origin) mendInterrupted(t *thread) bool {
	var r sys.Regs
	if t.call != nil || sys.GetRegs(t.tid, &r) != nil || int64(r.Rax) != -int64(sys.EINTR) {
		return false
	}
	c := interruptedCall(&r)
	if c == nil || o.aboutToHandle(t) {
		return false
	}
	if t.cut == nil {
		t.cut = c.limited()
	}
	return o.makeAgain(t, c, &r)
}

// makeAgain has the stopped thread t, whose registers r are those after call c, make
// that anew.
func (o *origin) makeAgain(t *thread, c *call, r *sys.Regs) bool {
	guest.CallAgain(r, c.nr)
	err := sys.SetRegs(t.tid, r)
	if err != nil && !errors.Is(err, sys.ESRCH) {
		o.logf("restart call of thread %d: %v", t.tid, err)
	}
	return err == nil
}
