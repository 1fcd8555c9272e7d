package job

import "popcorn/internal/sys"

// worldStop is a stop of all threads at home, which distribution needs.
type worldStop struct {
	o     *origin
	held  map[*thread]bool
	then  func()
	ended bool
}

// stopWorld calls then when every thread of the program is stopped. Those that
// were running are resumed by startWorld.
func (o *origin) stopWorld(then func()) {
	w := &worldStop{o: o, held: map[*thread]bool{}, then: then}
	o.world = w
	for _, t := range o.threads {
		if t.stopped || t.exiting {
			continue
		}
		w.held[t] = false
		o.interrupt(t, func() {
			if t.where != gone {
				w.held[t] = true
			}
			w.check()
		})
	}
	w.check()
}

// check runs then once all are stopped; a thread that ended no longer counts.
func (w *worldStop) check() {
	if w.ended {
		return
	}
	for t, held := range w.held {
		if t.where == gone || t.exiting {
			delete(w.held, t)
			continue
		}
		if !held {
			return
		}
	}
	w.ended = true
	w.o.world = nil
	w.then()
	for t := range w.held {
		if t.stopped && t.where != gone {
			w.o.mendInterrupted(t)
			w.o.resume(t, 0)
		}
	}
}

// mendInterrupted makes a call that a mere stop ended with EINTR be made again;
// the kernel itself restarts all others (kernel-internal codes -512 to -516).
func (o *origin) mendInterrupted(t *thread) {
	var r sys.Regs
	if sys.GetRegs(t.tid, &r) != nil {
		return
	}
	if c := interruptedCall(&r); c != nil && c.nr == r.Orig_rax && int64(r.Rax) == -int64(sys.EINTR) {
		r.Rip -= 2
		r.Rax, r.Orig_rax = c.nr, ^uint64(0)
		if err := sys.SetRegs(t.tid, &r); err != nil {
			o.logf("restart call of thread %d: %v", t.tid, err)
		}
	}
}
