package node

import (
	"sync"
	"time"
)

// views are opinions on who lives: of gossip where there is one, else of the
// founding node, which is told by announcements.
type views struct {
	mu   sync.Mutex
	all  map[string]view
	when map[string]time.Time // of the last announcement
}

// view is one opinion: Alive, Suspect or Unreachable.
type view struct {
	state State
	since time.Time
}

func newViews() *views { return &views{all: map[string]view{}, when: map[string]time.Time{}} }

// of is what is thought of a node; nothing for one never heard of.
func (v *views) of(name string) (view, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.all[name]
	return w, ok
}

// set takes an opinion. It lasts since the first of its kind.
func (v *views) set(name string, s State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setLocked(name, s, time.Now())
}

func (v *views) setLocked(name string, s State, now time.Time) {
	if v.all[name].state != s {
		v.all[name] = view{s, now}
	}
}

// setAll takes opinions on everybody: who is not there is unreachable, but for those
// who announced themselves just now and are about to be.
func (v *views) setAll(states map[string]State, patience time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for name, s := range states {
		v.setLocked(name, s, now)
	}
	for name := range v.all {
		if _, ok := states[name]; !ok && time.Since(v.when[name]) > patience {
			v.setLocked(name, Unreachable, now)
		}
	}
}

// heard notes an announcement.
func (v *views) heard(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.when[name] = time.Now()
	v.setLocked(name, Alive, time.Now())
}

// judge calls unreachable who has not been heard of for that long.
func (v *views) judge(patience time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name := range v.all {
		if last := v.when[name]; time.Since(last) > patience {
			v.setLocked(name, Unreachable, last)
		}
	}
}

// anyAlive tells whether somebody lives.
func (v *views) anyAlive() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.all {
		if w.state == Alive {
			return true
		}
	}
	return false
}
