package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// kernelVDSO is the image of the kernel that runs the test.
func kernelVDSO(t testing.TB) []byte {
	t.Helper()
	p := &Process{PID: sys.Getpid(), mem: -1, maps: -1, pmap: -1, Pidfd: -1}
	if err := p.Reopen(); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	image, at, err := p.VDSO()
	if err != nil || len(image) == 0 || at.Size() != uint64(len(image)) {
		t.Fatalf("vDSO of %d bytes at %v: %v", len(image), at, err)
	}
	return image
}

// functions is what an ELF file offers, by address.
func functions(t *testing.T, image []byte) map[uint64]elf.Symbol {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	found := map[uint64]elf.Symbol{}
	for _, s := range all {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			found[s.Value] = s
		}
	}
	return found
}

// TestPatchVDSO: every function jumps to the agent's code for its call, and no
// other byte is changed.
func TestPatchVDSO(t *testing.T) {
	image := kernelVDSO(t)
	before := bytes.Clone(image)
	patched, err := PatchVDSO(image)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, image) {
		t.Error("the original was changed")
	}
	found := functions(t, image)
	if len(found) < 4 {
		t.Fatalf("only %d functions", len(found))
	}
	rest := bytes.Clone(patched)
	for at, s := range found {
		code := patched[at : at+14]
		copy(rest[at:], image[at:at+14])
		name := strings.TrimPrefix(s.Name, "__vdso_")
		if vdsoCalls[name] == 0 {
			t.Errorf("no call for %s", s.Name)
		}
		if !bytes.HasPrefix(code, jumpFar) || binary.LittleEndian.Uint64(code[6:]) != vdsoCalls[name] {
			t.Errorf("%s begins with % x", s.Name, code)
		}
	}
	if !bytes.Equal(rest, image) {
		t.Error("something else was changed too")
	}
	again, err := PatchVDSO(patched)
	if err != nil || !bytes.Equal(again, patched) {
		t.Errorf("patched twice it is another: %v", err)
	}
}

// TestVDSOCalls: where the functions jump to, or where they go when the clocks
// cannot be had otherwise, the agent has the call's number.
func TestVDSOCalls(t *testing.T) {
	numbers := map[string]uint32{"clock_gettime": 228, "clock_getres": 229, "gettimeofday": 96, "time": 201, "getcpu": 309, "getrandom": 318}
	if len(numbers) != len(vdsoCalls) {
		t.Errorf("%d calls, %d expected", len(vdsoCalls), len(numbers))
	}
	for name, nr := range numbers {
		at := vdsoCalls[name]
		if real := map[string]uint64{"clock_gettime": label(offRealClockGettime), "gettimeofday": label(offRealGettimeofday),
			"time": label(offRealTime)}[name]; real != 0 {
			at = real
		}
		code := agentCode[at-label(0):]
		call := binary.LittleEndian.AppendUint32([]byte{0xb8}, nr) // mov eax, nr
		call = append(call, 0x0f, 0x05, 0xc3)                      // syscall; ret
		if i := bytes.Index(code, call); i < 0 || i > 0 && name != "getrandom" {
			t.Errorf("%s: % x", name, code[:16])
		}
	}
}

// TestPatchStrangeVDSO: a function that is too short for a jump, or unknown,
// raises SIGILL.
func TestPatchStrangeVDSO(t *testing.T) {
	for e, want := range map[entry][]byte{
		{size: 14, call: 0x6f0000000123}: {0xff, 0x25, 0, 0, 0, 0, 0x23, 1, 0, 0, 0, 0x6f, 0, 0},
		{size: 13, call: 1}:              undef,
		{size: 100}:                      undef,
	} {
		if got := e.code(); !bytes.Equal(got, want) {
			t.Errorf("%+v: % x, want % x", e, got, want)
		}
	}
}

func TestVDSORefused(t *testing.T) {
	good := kernelVDSO(t)
	sections := binary.LittleEndian.Uint64(good[40:])
	for name, change := range map[string]func([]byte) []byte{
		"empty":      func([]byte) []byte { return nil },
		"zeros":      func([]byte) []byte { return make([]byte, vm.PageSize) },
		"odd size":   func(b []byte) []byte { return b[:len(b)-1] },
		"too large":  func(b []byte) []byte { return append(b, make([]byte, maxVDSO)...) },
		"32 bits":    func(b []byte) []byte { b[4] = 1; return b },
		"big endian": func(b []byte) []byte { b[5] = 2; return b },
		"arm64":      func(b []byte) []byte { b[18] = 183; return b },
		"executable": func(b []byte) []byte { b[16] = 2; return b },
		"no sections": func(b []byte) []byte {
			clear(b[sections:])
			return b
		},
		"no code": func(b []byte) []byte {
			b[64+4] = 4 // the first program header's flags
			return b
		},
	} {
		if _, err := PatchVDSO(change(bytes.Clone(good))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestVDSOFunctionsRefused: functions beyond the code or within each other.
func TestVDSOFunctionsRefused(t *testing.T) {
	code := segment{elf.ProgHeader{Off: 0, Vaddr: 0x1000, Filesz: 0x800}}
	for _, s := range []elf.Symbol{{Value: 0xfff, Size: 20}, {Value: 0x1800, Size: 20}, {Value: 0x17f0, Size: 20},
		{Value: 0x1000, Size: 1}, {Value: 0x1000, Size: ^uint64(0)}, {Value: ^uint64(0), Size: 20}} {
		if e, err := code.entry(s, 0x1000); err == nil {
			t.Errorf("%#x+%d: accepted as %+v", s.Value, s.Size, e)
		}
	}
	if _, err := apart([]entry{{at: 100, size: 20}, {at: 119, size: 20}}); err == nil {
		t.Error("overlapping functions accepted")
	}
	got, err := apart([]entry{{at: 120, size: 20}, {at: 100, size: 20}, {at: 120, size: 20}})
	if err != nil || len(got) != 2 || !slices.IsSortedFunc(got, func(a, b entry) int { return a.at - b.at }) {
		t.Errorf("got %v, %v", got, err)
	}
}

// FuzzPatchVDSO: whatever a node is sent as a vDSO is refused, or comes out as
// long as it was and with nothing changed but beginnings of functions.
func FuzzPatchVDSO(f *testing.F) {
	f.Add(kernelVDSO(f), uint16(0), byte(0))
	f.Add([]byte("\x7fELF"), uint16(3), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, with byte) {
		if len(b) > 0 {
			b[int(at)%len(b)] ^= with
		}
		patched, err := PatchVDSO(b)
		if err != nil {
			return
		}
		entries, err := vdsoEntries(b)
		if err != nil || len(patched) != len(b) {
			t.Fatalf("%d bytes became %d, %v", len(b), len(patched), err)
		}
		for _, e := range entries {
			copy(patched[e.at:e.at+e.size], b[e.at:])
		}
		if !bytes.Equal(patched, b) {
			t.Fatal("changed outside functions")
		}
	})
}
