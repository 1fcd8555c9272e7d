package coherence

import (
	"encoding/binary"
	"testing"
	"time"

	"popcorn/internal/vm"
)

// FuzzMachine feeds home, and a remote, whatever three peers may think of. It
// must neither panic nor break its own law nor store more than its bounds.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{1, byte(Request), 2, 0, 0, 1, 0, 1, 1, byte(Installed), 0, 0, 0, 1, 1, 1})
	f.Add([]byte{1, byte(Request), 1, 0, 0, 9, 0, 3, 2, byte(Request), 2, 0, 0, 9, 0, 1, 1, byte(Gone), 0, 0, 0, 9, 1, 2})
	f.Add([]byte{3, byte(Grant), 2, 1, 3, 255, 2, 200, 0, byte(Invalidate), 0, 0, 0, 1, 7, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, self := range []NodeID{Home, 2} {
			fuzzOne(t, self, script)
		}
	})
}

func fuzzOne(t *testing.T, self NodeID, script []byte) {
	m := New(Config{Self: self, Verify: true, MaxPending: 20, MaxRun: 8, HoldBase: time.Millisecond})
	var now time.Duration
	script = script[:min(len(script), 2048)] // Check after every step is quadratic
	for ; len(script) >= 8; script = script[8:] {
		b := script[:8]
		now += time.Duration(b[3]) * 10 * time.Microsecond
		fuzzStep(m, now, b)
		for _, e := range m.Drain(nil) {
			if b[3]&0x40 != 0 && (e.Kind == SendData || e.mayFail()) {
				m.Failed(now, e)
			}
		}
	}
	m.Tick(now + time.Hour)
	if len(m.txns) > 4*20+8 { // three peers and our own few
		t.Errorf("%v keeps %d transactions", self, len(m.txns))
	}
}

// fuzzStep: sender, kind, mode, flags, page (2), id, length.
func fuzzStep(m *Machine, now time.Duration, b []byte) {
	page := vm.Page(binary.BigEndian.Uint16(b[4:6]))
	if b[4] == 0xff {
		page = maxPage - vm.Page(b[5])
	}
	switch {
	case b[0]&0xf0 == 0x10:
		m.Fault(now, page, Access(b[2]&1), uint32(b[7]))
	case b[0]&0xf0 == 0x20:
		m.Hold(now, uint64(b[6]&3), []vm.Run{{First: page, N: uint32(b[7])}}, Access(b[2]&1))
	case b[0]&0xf0 == 0x30:
		m.Release(now, uint64(b[6]&3))
	case b[0]&0xf0 == 0x40:
		m.Forget(now, uint64(b[6]&3), []vm.Run{{First: page, N: uint32(b[7])}})
	case b[0] == 0x50:
		m.Lost(now, NodeID(b[2]&3))
	case b[0] == 0x51:
		m.Push(now, NodeID(b[2]&3), vm.Run{First: page, N: uint32(b[7])}, Access(b[3]&1))
	default:
		m.Receive(now, NodeID(b[0]&3), Msg{Kind: Kind(b[1] % 12), Mode: Mode(b[2] & 3), Flags: b[3] & 7,
			Node: NodeID(b[2] >> 2), Page: page, N: uint32(b[7]), ID: uint64(b[6])})
	}
}
