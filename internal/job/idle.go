package job

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
)

// idle tells whether nothing of the program runs at node n, so far as can be
// told without asking there.
func (o *origin) idle(n coherence.NodeID) bool {
	for _, t := range o.threads {
		if t.node != n {
			continue
		}
		if n != coherence.Home && (t.where == away || t.where == recalled) {
			return false
		}
		if n == coherence.Home && !t.stopped && o.runs(t) {
			return false
		}
	}
	return n != coherence.Home || !o.serves()
}

// caller notes that thread tid has faulted at home, and tells which node's thread waits
// for the call that it is in; home for none.
func (o *origin) caller(tid int) coherence.NodeID {
	t := o.threads[tid]
	if t == nil || t.call == nil {
		return coherence.Home
	}
	o.served[t] = served{t.call, sys.Monotonic() + servedFor}
	if t.where != calling {
		return coherence.Home
	}
	return t.node
}

// served is a call of another node's thread that has waited for a page at home.
type served struct {
	call  *call
	until time.Duration // when it is supposed to have used that, on the clock
}

// servedFor is more than a thread that has its page waits for a processor, by far.
const servedFor = 100 * time.Millisecond

// serves tells whether a thread runs at home that makes another node's call and has
// waited for a page: it must get to use that.
func (o *origin) serves() bool {
	now := sys.Monotonic()
	for t, s := range o.served {
		if t.call != s.call || now > s.until {
			delete(o.served, t)
		} else if !t.stopped && o.runs(t) {
			return true
		}
	}
	return false
}

// runs tells whether a thread at home is on a processor or waits for one: then
// its kernel names no system call it is in (proc(5), /proc/PID/syscall).
func (o *origin) runs(t *thread) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", o.proc.PID, t.tid))
	return err == nil && bytes.HasPrefix(b, []byte("running"))
}
