package coherence

import "popcorn/internal/vm"

// run executes what the machine wants, then checks the law over all kernels.
func (n *node) run(data []uint64) {
	for {
		batch := n.m.Drain(nil)
		if len(batch) == 0 {
			break
		}
		for _, e := range batch {
			n.w.note("  n%d %v", n.id, e)
			if !n.execute(e, data) {
				n.w.note("  n%d that failed", n.id)
				n.m.Failed(n.w.now, e)
			}
		}
	}
	n.w.checkKernels()
}

func (n *node) execute(e Effect, data []uint64) bool {
	w := n.w
	r := e.run()
	switch e.Kind {
	case Send:
		w.post(n.id, e.To, packet{msg: e.Msg})
	case SendData:
		return n.sendData(e)
	case Install, InstallZero:
		return n.install(e, data)
	case Unprotect:
		return n.unprotect(r)
	case Drop:
		for p := r.First; p < r.End(); p++ {
			delete(n.kernel, p)
			delete(n.holes, p)
		}
	case Wake:
		return n.wakeUp(e)
	case SignalUnmapped:
		n.signal(e.Page)
	case Held:
		h := w.waiting[e.ID]
		delete(w.waiting, e.ID)
		w.held[e.ID] = h
		w.checkHeld(h)
	}
	return true
}

func (n *node) sendData(e Effect) bool {
	var bytes []uint64
	zero := true
	for p := e.Page; p < e.run().End(); p++ {
		if n.id == Home && n.w.gone[p] {
			return false
		}
		if n.w.frail[p] && n.id != Home {
			delete(n.w.frail, p)
			n.holes[p] = true
			delete(n.kernel, p)
			n.w.forgetIfLast(p)
		}
		if n.holes[p] {
			if e.N == 1 {
				delete(n.holes, p)
			}
			return false
		}
		c := n.kernel[p]
		if c == nil {
			if n.w.ref[p] != 0 && !n.w.lost[p] {
				n.w.fail("n%d sends page %#x as zeros, it should be %d", n.id, uint64(p), n.w.ref[p])
			}
			c = &cell{}
			n.kernel[p] = c
			c.protected = true
			n.w.touched[p] = true
		}
		if e.Op == Copy && !c.protected {
			n.w.fail("n%d copies page %#x that is writable", n.id, uint64(p))
		}
		c.protected = true
		bytes = append(bytes, c.value)
		zero = zero && c.value == 0
	}
	if e.Op == Take {
		for p := e.Page; p < e.run().End(); p++ {
			delete(n.kernel, p)
		}
	}
	msg := e.Msg
	if zero {
		msg.Flags |= Zero
		bytes = nil
	}
	n.w.post(n.id, e.To, packet{msg, bytes})
	return true
}

// forgetIfLast: when no copy is left anywhere the content is zeros again.
func (w *world) forgetIfLast(p vm.Page) {
	for _, o := range w.nodes {
		if o.kernel[p] != nil {
			return
		}
	}
	for _, q := range w.wires {
		for _, k := range q {
			if k.msg.Kind == Grant && k.msg.run().Contains(p) {
				return
			}
		}
	}
	w.ref[p] = 0
}

func (n *node) install(e Effect, data []uint64) bool {
	for p := e.Page; p < e.run().End(); p++ {
		if n.id == Home && n.w.gone[p] || n.id != Home && n.w.frail[p] {
			if n.id != Home {
				delete(n.w.frail, p)
			}
			for q := e.Page; q < p; q++ {
				delete(n.kernel, q)
			}
			for q := e.Page; q < e.run().End(); q++ {
				n.w.forgetIfLast(q)
			}
			n.wakeRun(e.run())
			return false
		}
		if n.kernel[p] != nil && !n.w.lost[p] {
			n.w.fail("n%d installs page %#x over a present one", n.id, uint64(p))
		}
		delete(n.holes, p)
		var v uint64
		if e.Kind == Install {
			v = data[p-e.Page]
		}
		n.kernel[p] = &cell{value: v, protected: e.Mode == Shared}
		n.w.touched[p] = true
	}
	n.wakeRun(e.run())
	return true
}

func (n *node) unprotect(r vm.Run) bool {
	for p := r.First; p < r.End(); p++ {
		if n.id == Home && n.w.gone[p] {
			return false
		}
		if n.holes[p] {
			n.wakeRun(r)
			for q := r.First; q < r.End(); q++ {
				delete(n.kernel, q)
				n.w.forgetIfLast(q)
			}
			return false
		}
		c := n.kernel[p]
		if c == nil {
			if n.w.lost[p] {
				continue
			}
			n.w.fail("n%d unprotects page %#x that is not there", n.id, uint64(p))
		}
		c.protected = false
	}
	n.wakeRun(r)
	return true
}

func (n *node) wakeUp(e Effect) bool {
	if n.id == Home && n.w.gone[e.Page] || n.holes[e.Page] && e.Mode != Invalid {
		n.signal(e.Page)
		return true
	}
	if c := n.kernel[e.Page]; c == nil && e.Mode != Invalid {
		if n.w.ref[e.Page] != 0 && !n.w.lost[e.Page] {
			n.w.fail("n%d fills page %#x with zeros, it should be %d", n.id, uint64(e.Page), n.w.ref[e.Page])
		}
		n.kernel[e.Page] = &cell{protected: e.Mode == Shared}
		n.w.touched[e.Page] = true
	} else if c != nil && e.Mode == Exclusive {
		c.protected = false
	}
	n.wakeRun(e.run())
	return true
}

func (n *node) wakeRun(r vm.Run) {
	for _, t := range n.threads {
		if t.busy && r.Contains(t.page) {
			t.blocked = false
		}
	}
}

func (n *node) signal(p vm.Page) {
	for _, t := range n.threads {
		if t.busy && t.page == p {
			t.busy, t.blocked = false, false
			n.w.signals++
		}
	}
}
