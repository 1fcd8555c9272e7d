package job

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

func someMappings() []vm.Mapping {
	return []vm.Mapping{
		{Range: vm.Range{Start: 0x400000, End: 0x401000}, Prot: vm.ProtRead | vm.ProtExec, Kind: vm.Immutable},
		{Range: vm.Range{Start: 0x7ffd00000000, End: 0x7ffd00021000}, Prot: vm.ProtRead | vm.ProtWrite, GrowsDown: true},
		{Range: vm.Range{Start: 0x7fff00000000, End: 0x7fff00002000}, Prot: vm.ProtRead | vm.ProtExec, Kind: vm.Local, Name: "[vdso]"},
	}
}

func TestMappingsAgain(t *testing.T) {
	want := someMappings()
	got, err := decodeMappings(encodeMappings(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestMappingsRefused(t *testing.T) {
	for name, change := range map[string]func(*vm.Mapping){
		"empty":      func(m *vm.Mapping) { m.End = m.Start },
		"backwards":  func(m *vm.Mapping) { m.Start, m.End = m.End, m.Start },
		"odd start":  func(m *vm.Mapping) { m.Start++ },
		"odd end":    func(m *vm.Mapping) { m.End++ },
		"kind":       func(m *vm.Mapping) { m.Kind = vm.WritableFile + 1 },
		"protection": func(m *vm.Mapping) { m.Prot = 8 },
		"kernel":     func(m *vm.Mapping) { m.End = userEnd + vm.PageSize },
	} {
		m := someMappings()[0]
		change(&m)
		if ms, err := decodeMappings(encodeMappings([]vm.Mapping{m})); err == nil {
			t.Errorf("%s: accepted as %v", name, ms)
		}
	}
	if ms, err := decodeMappings(encodeMappings(someMappings())[:30]); err == nil {
		t.Errorf("cut short: accepted as %v", ms)
	}
}

func TestCallAgain(t *testing.T) {
	args := [6]uint64{1, 2, 3, 1 << 63, 5, ^uint64(0)}
	nr, got, pieces, err := decodeCall(encodeCall(sys.SYS_FUTEX, args, somePieces()))
	if err != nil || nr != sys.SYS_FUTEX || got != args || !reflect.DeepEqual(pieces, somePieces()) {
		t.Errorf("got %d %v %v, %v", nr, got, pieces, err)
	}
}

func somePieces() []piece {
	return []piece{{-1, 1, 8, make([]byte, 32)}, {0, 24, 4095, []byte("x")}, {-1, 5, 0, []byte("name\x00")}}
}

// TestPiecesRefused: what nothing points to, or is not whole, is no part of a call.
func TestPiecesRefused(t *testing.T) {
	for name, change := range map[string]func(ps []piece){
		"argument 6":                func(ps []piece) { ps[0].at = 6 },
		"pointer beyond its piece":  func(ps []piece) { ps[1].at = 25 },
		"pointer in a later piece":  func(ps []piece) { ps[1].of = 2 },
		"pointer in itself":         func(ps []piece) { ps[1].of = 1 },
		"no data":                   func(ps []piece) { ps[2].data = nil },
		"more than may be":          func(ps []piece) { ps[2].data = make([]byte, maxCopied+1) },
		"a place outside of a page": func(ps []piece) { ps[2].skew = 4096 },
	} {
		ps := somePieces()
		change(ps)
		if _, _, got, err := decodeCall(encodeCall(1, [6]uint64{}, ps)); err == nil {
			t.Errorf("%s: accepted as %v", name, got)
		}
	}
	b := encodeCall(1, [6]uint64{}, somePieces())
	for n := range len(b) {
		if _, _, got, err := decodeCall(b[:n]); err == nil && len(got) == len(somePieces()) {
			t.Errorf("cut to %d of %d bytes it is whole", n, len(b))
		}
	}
}

// FuzzDecodeMappings: whatever arrives is refused, or mappings that survive the
// way back and that a vm.Set takes.
func FuzzDecodeMappings(f *testing.F) {
	f.Add(encodeMappings(someMappings()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := decodeMappings(b)
		if err != nil {
			return
		}
		var set vm.Set
		for i, m := range ms {
			set.Insert(m)
			if _, ok := set.Find(m.Start); !ok {
				t.Fatalf("%v is not found after being inserted", m)
			}
			if m.Kind != vm.Local {
				ms[i].Name = "" // is not sent
			}
		}
		again, err := decodeMappings(encodeMappings(ms))
		if err != nil || !reflect.DeepEqual(again, ms) {
			t.Fatalf("got %v, %v; want %v", again, err, ms)
		}
	})
}

func TestJoinAgain(t *testing.T) {
	machine := guest.Machine{Clocks: guest.Clocks{Boot: "b", Now: 3}, VDSO: []byte("image")}
	b, err := encodeJoin(machine, someMappings())
	if err != nil {
		t.Fatal(err)
	}
	m, ms, err := decodeJoin(b)
	if err != nil || !reflect.DeepEqual(m, machine) || !reflect.DeepEqual(ms, someMappings()) {
		t.Errorf("got %+v, %v, %v", m, ms, err)
	}
	for n := range len(b) {
		if _, ms, err := decodeJoin(b[:n]); err == nil && len(ms) >= len(someMappings()) {
			t.Errorf("cut to %d of %d bytes it is whole", n, len(b))
		}
	}
}

// FuzzDecodeJoin: whatever arrives is refused, or survives the way back.
func FuzzDecodeJoin(f *testing.F) {
	b, _ := encodeJoin(guest.Machine{VDSO: []byte("image")}, someMappings())
	f.Add(b)
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ms, err := decodeJoin(b)
		if err != nil {
			return
		}
		again, err := encodeJoin(m, ms)
		if err != nil {
			t.Fatal(err)
		}
		if m2, ms2, err := decodeJoin(again); err != nil || len(ms2) != len(ms) || string(m2.VDSO) != string(m.VDSO) {
			t.Fatalf("got %+v, %v, %v", m2, ms2, err)
		}
	})
}

// TestJoinRefused: a node whose processor lacks something starts nothing and says
// what is missing.
func TestJoinRefused(t *testing.T) {
	r := newRemote(&supervisor{})
	err := r.startStub(guest.Machine{CPU: guest.CPU{Features: []string{"amx_tile", "foresight"}}}, nil)
	if !errors.Is(err, guest.ErrCPU) || !strings.Contains(err.Error(), "foresight") || r.stub != nil {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeCall(f *testing.F) {
	f.Add(encodeCall(9, [6]uint64{1, 2, 3, 4, 5, 6}, nil))
	f.Add(encodeCall(46, [6]uint64{1, 2, 3, 4, 5, 6}, somePieces()))
	f.Add(make([]byte, 55))
	f.Fuzz(func(t *testing.T, b []byte) {
		nr, args, pieces, err := decodeCall(b)
		if err != nil {
			return
		}
		if string(encodeCall(nr, args, pieces)) != string(b) {
			t.Fatalf("%x became %d %v %v", b, nr, args, pieces)
		}
		if places, n := layout(pieces); n > 2*len(b)+len(pieces)*2*vm.PageSize || len(places) != len(pieces) {
			t.Fatalf("%d bytes are laid out in %d", len(b), n)
		}
	})
}
