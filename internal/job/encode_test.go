package job

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
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
	nr, got, pieces, err := decodeCall(bytes.Join(encodeCall(sys.SYS_FUTEX, args, somePieces()), nil))
	if err != nil || nr != sys.SYS_FUTEX || got != args || !reflect.DeepEqual(pieces, somePieces()) {
		t.Errorf("got %d %v %v, %v", nr, got, pieces, err)
	}
}

func somePieces() []piece {
	return []piece{{of: -1, at: 1, skew: 8, data: make([]byte, 32)}, {of: 0, at: 24, skew: 4095, data: []byte("x")},
		{of: -1, at: 5, data: []byte("name\x00")}, {of: -1, at: 2, skew: 9, out: 120, data: []byte{}, result: syscalls.Result{Per: 12, Always: true, Field: syscalls.Field{Step: 8, At: 6, Len: 2}}}}
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
		"more back than may be":     func(ps []piece) { ps[3].out = maxCopied + 1 },
		"field beyond its step":     func(ps []piece) { ps[3].result.Field.At = 7 },
		"field of no bytes":         func(ps []piece) { ps[3].result.Field.Len = 0 },
		"a place outside of a page": func(ps []piece) { ps[2].skew = 4096 },
	} {
		ps := somePieces()
		change(ps)
		if _, _, got, err := decodeCall(bytes.Join(encodeCall(1, [6]uint64{}, ps), nil)); err == nil {
			t.Errorf("%s: accepted as %v", name, got)
		}
	}
	b := bytes.Join(encodeCall(1, [6]uint64{}, somePieces()), nil)
	for n := range len(b) {
		if _, _, _, err := decodeCall(b[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes it is a call", n, len(b))
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
	f.Add(bytes.Join(encodeCall(9, [6]uint64{1, 2, 3, 4, 5, 6}, nil), nil))
	f.Add(bytes.Join(encodeCall(46, [6]uint64{1, 2, 3, 4, 5, 6}, somePieces()), nil))
	f.Add(make([]byte, 55))
	f.Fuzz(func(t *testing.T, b []byte) {
		nr, args, pieces, err := decodeCall(b)
		if err != nil {
			return
		}
		if !bytes.Equal(bytes.Join(encodeCall(nr, args, pieces), nil), b) {
			t.Fatalf("%x became %d %v %v", b, nr, args, pieces)
		}
		if places, n := layout(pieces); n > 2*len(b)+len(pieces)*2*vm.PageSize || len(places) != len(pieces) {
			t.Fatalf("%d bytes are laid out in %d", len(b), n)
		}
	})
}

// FuzzDecodeDeposits: whatever arrives is refused, or survives the way back and is for no
// memory of ours.
func FuzzDecodeDeposits(f *testing.F) {
	f.Add(encodeDeposits([]deposit{{4096, []byte("bytes")}, {0x7f0000000000, make([]byte, 300)}}))
	f.Add(encodeDeposits([]deposit{{guest.AgentRange().Start, []byte("bytes")}}))
	f.Add(encodeDeposits([]deposit{{userEnd - 2, []byte("bytes")}}))
	f.Add(encodeDeposits([]deposit{{^vm.Addr(0), []byte("bytes")}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeDeposits(b)
		if err != nil {
			return
		}
		if string(encodeDeposits(list)) != string(b) {
			t.Fatalf("%x became %v", b, list)
		}
		for _, d := range list {
			r := vm.Range{Start: d.addr, End: d.addr + vm.Addr(len(d.data))}
			if r.Empty() || r.End > userEnd || r.Overlaps(guest.AgentRange()) {
				t.Fatalf("%v is accepted", r)
			}
		}
	})
}

// TestSplit: what a call wrote goes where it was promised, or nowhere.
func TestSplit(t *testing.T) {
	out := []promised{{Result: syscalls.Result{Size: 16}, addr: 4096}, {Result: syscalls.Result{Size: 100, Per: 1}, addr: 8192}}
	list, err := split(out, 3, []byte("0123456789abcdefxyz"))
	want := []deposit{{4096, []byte("0123456789abcdef")}, {8192, []byte("xyz")}}
	if err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("got %v, %v", list, err)
	}
	if list, err = split(out, 0, []byte("0123456789abcdef")); err != nil || len(list) != 1 {
		t.Errorf("nothing of a second piece: got %v, %v", list, err)
	}
	for _, payload := range []string{"0123456789abcdefxy", "0123456789abcdefxyz_", "", "0"} {
		if list, err = split(out, 3, []byte(payload)); err == nil {
			t.Errorf("%q: accepted as %v", payload, list)
		}
	}
}
