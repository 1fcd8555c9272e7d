package job

import (
	"errors"
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

var errProtocol = errors.New("unexpected frame")

// frame implements role.
func (o *origin) frame(from coherence.NodeID, h wire.Header, payload []byte) error {
	st := o.nodes[from]
	switch h.Type {
	case wire.TJoined:
		if uint16(h.Addr) == o.epoch {
			o.nodeJoined(from, h, payload)
		}
		return nil
	case wire.TStatsResult:
		return o.nodeStats(from, payload)
	case wire.TGone:
		if n := coherence.NodeID(h.Node); n != coherence.Home {
			o.unreachable(from, n, errors.New(string(payload)))
			return nil
		}
		o.nodeLost(from, errors.New(string(payload)))
		return nil
	case wire.TFrozen:
		return nil
	}
	if !st.joined {
		return nil // of the program before an exec
	}
	t := o.threads[int(h.ID)]
	if t == nil || t.node != from {
		return nil // the thread has died meanwhile
	}
	return o.threadFrame(t, h, payload)
}

func (o *origin) threadFrame(t *thread, h wire.Header, payload []byte) error {
	switch h.Type {
	case wire.TCall:
		nr, args, pieces, err := decodeCall(payload)
		if err != nil {
			return err
		}
		o.forwarded(t, nr, args, pieces)
	case wire.TReturn:
		ctx, err := guest.ParseContext(payload)
		if err != nil {
			return err
		}
		if t.where == calling {
			return errProtocol // it waits for the result
		}
		if t.where != away && t.where != recalled {
			return nil
		}
		o.returned(t, ctx, h.Aux, h.Addr, h.Flags&flagInCall != 0)
	case wire.TCopyOut:
		return o.undelivered(t, h.Addr, payload)
	case wire.TArrived:
		o.arrived(t)
	case wire.TQuery:
		o.query(t, vm.Addr(h.Addr))
	default:
		return errProtocol
	}
	return nil
}

// flagInCall of a TReturn: the thread's call is still being made for it.
const flagInCall = 1

// Flags of a TJoined.
const (
	flagRefused = 1 // for the reason in the payload
	flagForeign = 2 // what the kernel there maps into programs is not the origin's
)

func (o *origin) nodeJoined(from coherence.NodeID, h wire.Header, payload []byte) {
	var err error
	if h.Flags&flagRefused != 0 {
		err = fmt.Errorf("node %d: %s", from, payload)
	}
	o.nodes[from].pid, o.nodes[from].xcr0 = int(h.Count), h.ID
	o.nodes[from].foreign = h.Flags&flagForeign != 0
	o.joined(from, err)
}

func (o *origin) arrived(t *thread) {
	if t.since != 0 {
		o.stats.forward.Add(sys.Monotonic() - t.since)
		t.since = 0
	}
	t.finishMove(nil)
}

// query answers a remote that knows no mapping at a, or not with enough rights.
func (o *origin) query(t *thread, a vm.Addr) {
	m, ok, err := o.proc.MappingAt(a)
	if err != nil {
		return // the program is dying
	}
	if !ok && o.growsTo(a) && t.where == away {
		// The stack grows by a touch, which the shadow makes: a futex wait whose
		// value no fresh page holds returns at once.
		const waitPrivate = 128
		t.to(calling)
		o.post(t, &call{nr: sys.SYS_FUTEX, args: [6]uint64{uint64(a) &^ 3, waitPrivate, 0x504f5021}})
		t.growing = a
		return
	}
	o.answerQuery(t, a, m, ok)
}

// grown answers the query that made the stack grow. A recall meanwhile finds the
// thread in no call.
func (o *origin) grown(t *thread, a vm.Addr) {
	t.call = nil
	if t.where == calling {
		t.to(away)
	}
	m, ok, err := o.proc.MappingAt(a)
	if err == nil {
		o.answerQuery(t, a, m, ok)
	}
}

func (o *origin) answerQuery(t *thread, a vm.Addr, m vm.Mapping, ok bool) {
	var payload []byte
	if ok {
		payload = encodeMappings([]vm.Mapping{m})
	}
	o.send(t.node, wire.Header{Type: wire.TQueryResult, ID: uint64(t.tid), Addr: uint64(a)}, payload)
}

// stackReach is how far below a stack a touch may make it grow, in bytes; the
// kernel itself decides by the program's limit.
const stackReach = 1 << 30

func (o *origin) growsTo(a vm.Addr) bool {
	ms, err := o.proc.Mappings()
	if err != nil {
		return false
	}
	for _, m := range ms {
		if m.Start > a {
			return m.GrowsDown && m.Start-a < stackReach
		}
	}
	return false
}
