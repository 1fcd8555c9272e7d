package coherence

import (
	"container/heap"
	"time"

	"popcorn/internal/vm"
)

// timers is a heap of pages whose minimum hold time ends, each at most once.
type timers []timer

type timer struct {
	at   time.Duration
	page vm.Page
}

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].page < t[j].page
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}

func (t *timers) set(at time.Duration, page vm.Page) { heap.Push(t, timer{at, page}) }

func (t timers) first() (time.Duration, bool) {
	if len(t) == 0 {
		return 0, false
	}
	return t[0].at, true
}

// due removes and returns a page whose time has come.
func (t *timers) due(now time.Duration) (vm.Page, bool) {
	if len(*t) == 0 || (*t)[0].at > now {
		return 0, false
	}
	return heap.Pop(t).(timer).page, true
}
