package guest

import (
	"encoding/binary"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestParseBaseline(t *testing.T) {
	for _, b := range Baselines {
		if got, err := ParseBaseline(string(b)); got != b || err != nil {
			t.Errorf("%s: %q, %v", b, got, err)
		}
		for _, f := range b.features() {
			if !slices.Contains(features(), f) {
				t.Errorf("%s: feature %s has no bit", b, f)
			}
		}
	}
	if b, err := ParseBaseline("x86-64-v5"); err == nil {
		t.Errorf("x86-64-v5 is %q", b)
	}
}

// TestBaselineAdmits: a program that is held to a level goes on where that level
// is, and only there; one that is not needs all that there was.
func TestBaselineAdmits(t *testing.T) {
	small := CPU{Features: Baseline("x86-64-v3").features(), XCR0: 7, Size: 832, Components: []Component{{2, 576, 256}}}
	large := CPU{Features: append(Baseline("x86-64-v4").features(), "vaes"), XCR0: 0x2e7, Size: 2696,
		Components: []Component{{2, 576, 256}, {5, 1088, 64}, {6, 1152, 512}, {7, 1664, 1024}, {pkru, 2688, 8}}}
	small.Features, large.Features = append(small.Features, "xsavec"), append(large.Features, "xsavec")
	for b, ok := range map[Baseline]bool{"": false, "x86-64": true, "x86-64-v2": true, "x86-64-v3": true, "x86-64-v4": false} {
		m := Machine{CPU: large, Baseline: b}
		if err := m.Admits(small); ok != (err == nil) || err != nil && !errors.Is(err, ErrCPU) {
			t.Errorf("from large to small with %q: %v", b, err)
		}
		if err := m.Admits(large); err != nil {
			t.Errorf("from large to large with %q: %v", b, err)
		}
		back := Machine{CPU: small, Baseline: b}
		if err := back.Admits(large); b == "x86-64-v3" != (err != nil) && b != "x86-64-v4" {
			t.Errorf("from small to large with %q: %v", b, err)
		}
		if !m.Lacks(small) {
			t.Error("the small processor lacks nothing of the large one")
		}
	}
	old := CPU{Features: Baseline("x86-64-v2").features(), XCR0: 7, Size: 832, Components: small.Components}
	if err := (Machine{CPU: large, Baseline: "x86-64-v2"}).Admits(old); err == nil || !strings.Contains(err.Error(), "lacks abm, bmi1") {
		t.Errorf("where LZCNT is BSR: %v", err)
	}
	if err := (Machine{CPU: large}).Admits(small); err == nil || !strings.Contains(err.Error(), "--cpu-baseline (x86-64-v3)") {
		t.Errorf("no hint which baseline would do: %v", err)
	}
	if err := Baseline("x86-64-v4").Check(small); err == nil || !strings.Contains(err.Error(), "avx512") {
		t.Errorf("a processor of v3 is one of v4: %v", err)
	}
}

func TestBaselineEnvironment(t *testing.T) {
	env := []string{"A=1", "GODEBUG=x=1", "GLIBC_TUNABLES=glibc.malloc.check=1:glibc.cpu.hwcaps=-ERMS"}
	got := Baseline("x86-64-v2").Environment(env)
	for _, want := range []string{"A=1", "GODEBUG=x=1,cpu.avx=off,", "GLIBC_TUNABLES=glibc.malloc.check=1:glibc.cpu.hwcaps=-ERMS,-AVX,", "OPENSSL_ia32cap=~0x"} {
		if !slices.ContainsFunc(got, func(v string) bool { return strings.HasPrefix(v, want) }) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if env[1] != "GODEBUG=x=1" {
		t.Error("the caller's environment was changed")
	}
	if got := Baseline("").Environment(env); !slices.Equal(got, env) {
		t.Errorf("without baseline: %q", got)
	}
}

// TestBaselineHolds asks the C library of this machine what it would use.
func TestBaselineHolds(t *testing.T) {
	const loader = "/lib64/ld-linux-x86-64.so.2"
	for i, b := range Baselines {
		if b.Check(ReadCPU()) != nil {
			break
		}
		cmd := exec.Command(loader, "--help")
		cmd.Env = b.Environment(nil)
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("%s --help: %v; it is of another C library or an old one", loader, err)
		}
		for j, level := range Baselines[1:] {
			uses := strings.Contains(string(out), string(level)+" (supported, searched)")
			if want := j+1 <= i; uses != want {
				t.Errorf("held to %s the C library uses %s: %v", b, level, uses)
			}
		}
	}
}

// TestLost: what a thread has in use, and is not all zeros, is found in its state.
func TestLost(t *testing.T) {
	c := CPU{Components: []Component{{2, 576, 256}, {5, 1088, 64}, {6, 1152, 512}, {7, 1664, 1024}, {pkru, 2688, 8}}}
	for _, x := range []struct {
		used, xcr0 uint64
		at         int // of a byte that is not zero
		want       string
	}{
		{0x2e7, 7, 1200, "avx512 zmm_hi256"},
		{0x2e7, 7, 600, ""},
		{0x2e7, 3, 600, "avx"},
		{0x2e7, 7, 2688, ""},
		{0x2e7, 0x2e7, 1200, ""},
		{0x007, 7, 1200, ""}, // not in use: what stands there means nothing
		{0x2e7, 7, 0, ""},
	} {
		ctx := &Context{XState: make([]byte, 2696)}
		ctx.XState[x.at] = 1
		putLE64(ctx.XState[xstateHeader:], x.used)
		if got := strings.Join(c.Lost(ctx, x.xcr0), ", "); got != x.want {
			t.Errorf("%+v: %q", x, got)
		}
	}
	if got := c.Lost(&Context{XState: make([]byte, 512)}, 3); got != nil {
		t.Errorf("of state that is too short: %q", got)
	}
}

// TestFitKeys: rights of protection keys are never widened by a journey.
func TestFitKeys(t *testing.T) {
	small := CPU{XCR0: 7, Size: 832}
	large := CPU{XCR0: 7 | 1<<pkru, Size: 2696, Components: []Component{{2, 576, 256}, {pkru, 2688, 8}}}
	ctx := &Context{XState: make([]byte, 832)}
	ctx.FitFrom(small, large)
	if got := binary.LittleEndian.Uint32(ctx.XState[2688:]); got != pkruAtStart || le64(ctx.XState[xstateHeader:]) != 1<<pkru {
		t.Errorf("rights %#x, components %#x", got, le64(ctx.XState[xstateHeader:]))
	}
	ctx.FitFrom(large, small)
	if len(ctx.XState) != 832 || le64(ctx.XState[xstateHeader:]) != 0 {
		t.Errorf("%d bytes, components %#x", len(ctx.XState), le64(ctx.XState[xstateHeader:]))
	}
	before := slices.Clone(ctx.XState)
	if ctx.FitFrom(small, small); !slices.Equal(ctx.XState, before) {
		t.Error("changed between equal processors")
	}
}
