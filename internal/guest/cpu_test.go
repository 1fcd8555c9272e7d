package guest

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestReadCPU compares with what the kernel says, by its own names. A hypervisor can
// hide from the kernel what the instruction tells programs (seen of abm): so what the
// kernel names we must see, and of most the reverse is true as well.
func TestReadCPU(t *testing.T) {
	c := ReadCPU()
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(b), "\nflags")
	line, _, _ = strings.Cut(line, "\n")
	known := strings.Fields(line)
	for _, f := range []string{"fpu", "cx8", "sse2", "ssse3", "sse4_2", "avx", "avx2", "fma", "bmi2", "avx512f", "sha_ni", "rdtscp",
		"movbe", "popcnt", "aes", "xsavec", "lahf_lm", "abm", "rdrand", "avx512_bf16", "gfni"} {
		named, seen := slices.Contains(known, f), slices.Contains(c.Features, f)
		if named && !seen || seen && !named && f != "abm" {
			t.Errorf("%s: the kernel and we disagree", f)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(features())))) != len(features()) {
		t.Error("a feature has two bits")
	}
}

// TestXStateSize: the kernel gives as much extended state as the processor says.
func TestXStateSize(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "nothing")
		defer reap(t, p)
		ctx, err := Save(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		if c := ReadCPU(); len(ctx.XState) != c.Size {
			t.Errorf("the kernel saves %d bytes, the processor %+v", len(ctx.XState), c)
		}
	})
}

func someCPU() CPU {
	return CPU{Features: []string{"avx", "sse2", "xsavec"}, XCR0: 7, Size: 832, Components: []Component{{2, 576, 256}}}
}

func TestRunsOn(t *testing.T) {
	for name, c := range map[string]struct {
		change func(home, here *CPU)
		want   string // part of the refusal, none if empty
	}{
		"same":        {func(_, _ *CPU) {}, ""},
		"more there":  {func(_, here *CPU) { here.Features = append(here.Features, "avx2") }, ""},
		"less there":  {func(home, _ *CPU) { home.Features = append(home.Features, "fma", "avx2") }, "lacks fma, avx2; start"},
		"no baseline": {func(home, _ *CPU) { home.Features = append(home.Features, "fma") }, "or with --cpu-baseline (x86-64)"},
		"more state": {func(_, here *CPU) {
			here.XCR0, here.Size = 0xe7, 2696
			here.Components = append(here.Components, Component{5, 1088, 64}, Component{6, 1152, 512}, Component{7, 1664, 1024})
		}, ""},
		"more state without XSAVEC": {func(home, here *CPU) {
			home.Features = []string{"sse2"}
			here.XCR0 = 0x207
		}, "behind its buffers"},
		"less state": {func(home, _ *CPU) { home.XCR0 |= 0x200 }, "the state of pkru"},
		"unknown":    {func(home, _ *CPU) { home.XCR0 |= 1 << 40 }, "the state of component 40"},
		"elsewhere":  {func(_, here *CPU) { here.Components = []Component{{2, 640, 256}} }, "avx elsewhere (256 bytes at 640, not 256 at 576)"},
	} {
		home, here := someCPU(), someCPU()
		c.change(&home, &here)
		err := home.RunsOn(here)
		if c.want == "" != (err == nil) || err != nil && (!errors.Is(err, ErrCPU) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if c := ReadCPU(); c.RunsOn(c) != nil {
		t.Errorf("this processor does not run on itself: %v", c.RunsOn(c))
	}
}

// TestFit: a thread of a processor without AVX-512 lives on one that may have
// it, and comes back as it was.
func TestFit(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "nothing")
		defer reap(t, p)
		ctx, err := Save(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		here := ReadCPU()
		ctx.Fit(here.XCR0&7, 832) // as it would be there
		if len(ctx.XState) != 832 {
			t.Fatalf("%d bytes", len(ctx.XState))
		}
		const xmm3 = 160 + 3*16
		ctx.XState[xstateHeader] |= 2
		copy(ctx.XState[xmm3:], "vector register!")
		home := bytes.Clone(ctx.XState)
		ctx.Fit(here.XCR0, here.Size)
		if err := ctx.Load(p.PID); err != nil {
			t.Fatal(err)
		}
		back, err := Save(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		back.Fit(7, 832)
		if got := back.XState; string(got[xmm3:xmm3+16]) != "vector register!" || le64(got[xstateHeader:]) != le64(home[xstateHeader:]) {
			t.Errorf("xmm3 %q, components %#x, before %#x", got[xmm3:xmm3+16], le64(got[xstateHeader:]), le64(home[xstateHeader:]))
		}
	})
}

func TestFitShort(t *testing.T) {
	c := &Context{XState: make([]byte, 512)}
	if c.Fit(7, 832); len(c.XState) != 512 {
		t.Errorf("%d bytes", len(c.XState))
	}
}

// features is every name in cpuidFeatures.
func features() []string {
	var all []string
	for _, names := range cpuidFeatures {
		all = slices.AppendSeq(all, maps.Values(names))
	}
	return all
}
