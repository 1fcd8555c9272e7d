package coherence

import (
	"time"

	"popcorn/internal/vm"
)

// anyNode as entry.last protects every holder.
const anyNode = ^NodeID(0)

// entry is what the directory knows of a page. The zero entry is unknown, which
// means that home has the page Exclusive and no other node ever wanted it.
type entry struct {
	sharers nodeSet // who has a copy, when mode is Shared
	busy    *busy   // lock and queue; nil when nobody waits
	until   time.Duration
	owner   NodeID // Exclusive: who has it. Shared: who supplies data when home cannot
	last    NodeID // whose copy is protected until `until`
	mode    Mode   // Exclusive or Shared
	home    Mode   // what home itself has, the cache's side
	heat    uint8  // log2 of the minimum hold time's growth
	known   bool
}

// blank stands for an unknown entry; it is only read.
var blank = entry{owner: Home, mode: Exclusive, home: Exclusive}

// busy is a page's lock and queue.
type busy struct {
	t     *txn
	queue []waiter
	timed bool // a timer is set
}

// waiter is a request that waits for its page.
type waiter struct {
	from   NodeID
	of     NodeID // whose thread wants it: from, or at home the node it makes a call for
	n      uint32
	want   Mode
	copied bool // it had a copy when it asked
	waited bool // it has been counted as waiting for the minimum hold time
}

func (e *entry) locked() bool { return e.busy != nil && e.busy.t != nil }

// view is the entry for reading, also of a page that is not known.
func (m *Machine) view(p vm.Page) *entry {
	if e := m.dir.peek(p); e != nil && e.known {
		return e
	}
	return &blank
}

// entry makes the page known.
func (m *Machine) entry(p vm.Page) *entry {
	if m.cfg.Verify {
		m.touched = append(m.touched, p)
	}
	k := m.dir.grow(p.Chunk())
	e := &k.cell[p%vm.ChunkPages]
	if !e.known {
		*e = blank
		e.known = true
		k.used++
	}
	return e
}

// forget makes the page unknown again, unless somebody waits for it.
func (m *Machine) forget(p vm.Page) {
	e := m.dir.peek(p)
	if e == nil || !e.known {
		return
	}
	if e.busy != nil {
		b := e.busy
		*e = blank
		e.known, e.busy = true, b
		return
	}
	*e = entry{}
	k := m.dir.chunk(p.Chunk())
	if k.used--; k.used == 0 {
		m.dir.shed(p.Chunk())
	}
}

// tidy forgets an entry that says nothing.
func (m *Machine) tidy(p vm.Page) {
	e := m.view(p)
	if e.known && e.busy == nil && e.mode == Exclusive && e.owner == Home && e.home == Exclusive && e.until <= m.now {
		m.forget(p)
	}
}

// at is what the directory says that n has.
func (e *entry) at(n NodeID) Mode {
	switch {
	case e.mode == Exclusive && e.owner == n:
		return Exclusive
	case e.mode == Shared && e.sharers.has(n):
		return Shared
	}
	return Invalid
}

// holders is the set of nodes that have the page.
func (e *entry) holders() nodeSet {
	if e.mode == Shared {
		return e.sharers
	}
	var s nodeSet
	s.add(e.owner)
	return s
}

// source is the node that data comes from.
func (e *entry) source() NodeID {
	if e.at(Home) != Invalid {
		return Home
	}
	return e.owner
}

// lose takes n's copy out of the entry. With no holder left the entry is
// Shared by nobody, which only lasts while its page is locked or held.
func (e *entry) lose(n NodeID) {
	if e.at(n) == Invalid {
		return
	}
	if e.mode == Exclusive {
		e.mode, e.sharers = Shared, nodeSet{}
		return
	}
	e.sharers.remove(n)
	if e.owner == n {
		if s, ok := e.sharers.next(0); ok {
			e.owner = s
		}
	}
}

// hasNone notes that n, whose request may be waiting, has no copy any more.
func (e *entry) hasNone(n NodeID) {
	for i := range e.busy.queue {
		if w := &e.busy.queue[i]; w.from == n {
			w.copied = false
		}
	}
}

// nobody tells that every copy is lost.
func (e *entry) nobody() bool { return e.mode == Shared && e.sharers.empty() }

// gain gives n the page in mode; the law about the others has been kept already.
func (e *entry) gain(n NodeID, mode Mode) {
	if mode == Exclusive {
		e.mode, e.owner, e.sharers = Exclusive, n, nodeSet{}
		return
	}
	if e.mode == Exclusive {
		old := e.owner
		e.mode, e.sharers = Shared, nodeSet{}
		e.sharers.add(old)
	}
	if e.sharers.empty() {
		e.owner = n
	}
	e.sharers.add(n)
}
