package sim

import (
	"container/heap"
	"time"

	"popcorn/internal/coherence"
)

type eventKind uint8

const (
	evThread eventKind = iota
	evMessage
	evTick
)

// event happens to a host at a time; equal times keep the order of posting.
type event struct {
	at     time.Duration
	serial uint64
	kind   eventKind
	host   *host
	from   coherence.NodeID
	msg    coherence.Msg
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].serial < q[j].serial
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func (n *net) at(t time.Duration, e event) {
	n.serial++
	e.at, e.serial = t, n.serial
	heap.Push(&n.queue, e)
}
