package guest

import (
	"fmt"
	"slices"
	"strings"
)

// Baseline is a level of the processor (x86-64 psABI, "Micro-Architecture
// Levels") that a program is held to from its start, so that it can go on on any
// processor of that level. Empty: whatever the processor has.
//
// A program is held to it by what its libraries read in the environment. One that
// asks the processor itself finds all there is; where it then uses an instruction
// that a node lacks, the thread goes home for it.
type Baseline string

// Baselines are the levels, lowest first.
var Baselines = []Baseline{"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"}

// levels is what each baseline adds to the one before: features by the names of
// /proc/cpuinfo, and components of extended state.
var levels = []struct {
	features string
	state    uint64
}{
	{"fpu tsc cx8 cmov clflush mmx fxsr sse sse2", 1<<0 | 1<<1},
	{"cx16 lahf_lm popcnt sse3 sse4_1 sse4_2 ssse3", 0},
	{"avx avx2 bmi1 bmi2 f16c fma abm movbe xsave osxsave", 1 << 2},
	{"avx512f avx512bw avx512cd avx512dq avx512vl", 1<<5 | 1<<6 | 1<<7},
}

// withheld is how a library is told not to use what a level adds: the C library
// (GLIBC_TUNABLES, names of its manual's glibc.cpu.hwcaps), the Go run time
// (GODEBUG, options of internal/cpu known to all its versions) and OpenSSL
// (OPENSSL_ia32cap(3): bits of its two words). What no level has is listed with
// the last.
var withheld = []struct {
	glibc, golang string
	openssl       [2]uint64
}{
	{},
	{"SSE3,SSSE3,SSE4_1,SSE4_2,POPCNT", "sse3,ssse3,sse41,sse42,popcnt", [2]uint64{1<<(32+0) | 1<<(32+9) | 1<<(32+19) | 1<<(32+20)}},
	{"AVX,AVX2,BMI1,BMI2,FMA,LZCNT,MOVBE,XSAVE,XSAVEC", "avx,avx2,bmi1,bmi2,fma",
		[2]uint64{1<<(32+28) | 1<<(32+12), 1<<3 | 1<<5 | 1<<8}},
	{"AVX512F,AVX512BW,AVX512CD,AVX512DQ,AVX512VL", "", [2]uint64{0, 1<<16 | 1<<17 | 1<<28 | 1<<30 | 1<<31}},
	{"FMA4,RTM,XSAVEC,AVX512ER,AVX512PF", "", [2]uint64{0, 1<<11 | 1<<21 | 1<<(32+1) | 1<<(32+6) | 1<<(32+9) | 1<<(32+10)}},
}

// ParseBaseline is the baseline of that name; the empty name is the empty one.
func ParseBaseline(name string) (Baseline, error) {
	b := Baseline(name)
	if b != "" && !slices.Contains(Baselines, b) {
		return "", fmt.Errorf("%s is no baseline: x86-64, x86-64-v2, -v3 and -v4 are known", name)
	}
	return b, nil
}

// level is how many of levels b has.
func (b Baseline) level() int { return slices.Index(Baselines, b) + 1 }

// features of the level, sorted.
func (b Baseline) features() (list []string) {
	for _, l := range levels[:b.level()] {
		list = append(list, strings.Fields(l.features)...)
	}
	slices.Sort(list)
	return list
}

func (b Baseline) state() (set uint64) {
	for _, l := range levels[:b.level()] {
		set |= l.state
	}
	return set
}

// saves tells whether a program held to b uses XSAVE, never XSAVEC.
func (b Baseline) saves() bool { return slices.Contains(b.features(), "xsave") }

// Check tells what the processor c lacks for the baseline; nil if nothing.
func (b Baseline) Check(c CPU) error {
	for _, f := range b.features() {
		if !slices.Contains(c.Features, f) {
			return fmt.Errorf("this processor is none of %s: it lacks %s", b, f)
		}
	}
	return nil
}

// silent are features without which an instruction is another, not none: LZCNT is
// BSR, TZCNT is BSF. No baseline makes up for them.
var silent = []string{"abm", "bmi1"}

// limit is what a program held to b may rely on of c.
func (b Baseline) limit(c CPU) CPU {
	if b == "" {
		return c
	}
	needed := append(b.features(), silent...)
	c.Features = slices.DeleteFunc(slices.Clone(c.Features), func(f string) bool { return !slices.Contains(needed, f) })
	c.XCR0 &= b.state()
	c.Components = slices.DeleteFunc(slices.Clone(c.Components), func(k Component) bool { return c.XCR0>>k.ID&1 == 0 })
	return c
}

// pkru has no state worth keeping where the other processor has none: it is set
// to what the kernel starts programs with.
const (
	pkru        = 9
	pkruAtStart = 0x55555554 // init_pkru_value, arch/x86/mm/pkeys.c
)

// Lost names what thread state saved on c a processor with the components xcr0 cannot
// keep; its thread cannot go there. A part that is in use may yet hold nothing:
// emulators and some hypervisors have all parts in use all the time.
func (c CPU) Lost(ctx *Context, xcr0 uint64) (names []string) {
	if len(ctx.XState) < legacyXState {
		return nil
	}
	used := le64(ctx.XState[xstateHeader:]) &^ xcr0 &^ (1 << pkru)
	if used == 0 {
		return nil
	}
	for _, k := range c.Components {
		if used>>k.ID&1 == 0 || k.Offset+k.Size > len(ctx.XState) {
			continue
		}
		if slices.ContainsFunc(ctx.XState[k.Offset:k.Offset+k.Size], func(b byte) bool { return b != 0 }) {
			names = append(names, componentName(k.ID))
		}
	}
	return names
}

// Environment adds to env what holds a program's libraries to b. What env says
// already is kept.
func (b Baseline) Environment(env []string) []string {
	if b == "" {
		return env
	}
	var glibc, golang []string
	var openssl [2]uint64
	for _, w := range withheld[b.level():] {
		for name := range strings.SplitSeq(w.glibc, ",") {
			glibc = append(glibc, "-"+name)
		}
		for name := range strings.SplitSeq(w.golang, ",") {
			if name != "" {
				golang = append(golang, "cpu."+name+"=off")
			}
		}
		openssl[0] |= w.openssl[0]
		openssl[1] |= w.openssl[1]
	}
	env = addTunables(env, strings.Join(glibc, ","))
	env = addTo(env, "GODEBUG", ",", strings.Join(golang, ","))
	return addTo(env, "OPENSSL_ia32cap", "", fmt.Sprintf("~%#x:~%#x", openssl[0], openssl[1]))
}

// addTunables adds to the C library's list of features not to use, which it takes
// only once.
func addTunables(env []string, hwcaps string) []string {
	const name, tunable = "GLIBC_TUNABLES", "glibc.cpu.hwcaps="
	return change(env, name, func(old string) string {
		var parts []string
		for part := range strings.SplitSeq(old, ":") {
			if theirs, ok := strings.CutPrefix(part, tunable); ok {
				hwcaps = theirs + "," + hwcaps
			} else if part != "" {
				parts = append(parts, part)
			}
		}
		return strings.Join(append(parts, tunable+hwcaps), ":")
	})
}

// addTo appends to a list in env; without separator a value that is there stays.
func addTo(env []string, name, separator, value string) []string {
	if value == "" {
		return env
	}
	return change(env, name, func(old string) string {
		switch {
		case old == "":
			return value
		case separator == "":
			return old
		}
		return old + separator + value
	})
}

// change gives a variable another value; env itself stays.
func change(env []string, name string, f func(old string) string) []string {
	env = slices.Clone(env)
	for i, v := range env {
		if old, ok := strings.CutPrefix(v, name+"="); ok {
			env[i] = name + "=" + f(old)
			return env
		}
	}
	return append(env, name+"="+f(""))
}
