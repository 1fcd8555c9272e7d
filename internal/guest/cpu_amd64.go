package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"popcorn/internal/sys"
)

// CPU is what programs may have found out about a processor and rely on.
type CPU struct {
	Features []string
	// XCR0 is the components of extended state in use, Size the bytes that all
	// of them take, and Components where those beyond the first two stand.
	XCR0       uint64
	Size       int
	Components []Component
}

// Component is the place of one part of the extended state.
type Component struct{ ID, Offset, Size int }

// register is one that the CPUID instruction sets.
type register struct {
	leaf, sub uint32
	reg       byte
}

// cpuidFeatures names the bits that tell of instructions for programs, by the
// names of /proc/cpuinfo. What only tells how fast something is, or concerns
// kernels, is not here. (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.)
var cpuidFeatures = map[register]map[int]string{
	{1, 0, 'c'}: {0: "sse3", 1: "pclmulqdq", 9: "ssse3", 12: "fma", 13: "cx16", 19: "sse4_1", 20: "sse4_2",
		22: "movbe", 23: "popcnt", 25: "aes", 26: "xsave", 27: "osxsave", 28: "avx", 29: "f16c", 30: "rdrand"},
	{1, 0, 'd'}: {0: "fpu", 4: "tsc", 8: "cx8", 15: "cmov", 19: "clflush", 23: "mmx", 24: "fxsr", 25: "sse", 26: "sse2"},
	{7, 0, 'b'}: {0: "fsgsbase", 3: "bmi1", 4: "hle", 5: "avx2", 8: "bmi2", 11: "rtm", 16: "avx512f", 17: "avx512dq",
		18: "rdseed", 19: "adx", 21: "avx512ifma", 23: "clflushopt", 24: "clwb", 26: "avx512pf", 27: "avx512er",
		28: "avx512cd", 29: "sha_ni", 30: "avx512bw", 31: "avx512vl"},
	{7, 0, 'c'}: {0: "prefetchwt1", 1: "avx512vbmi", 4: "ospke", 5: "waitpkg", 6: "avx512_vbmi2", 8: "gfni", 9: "vaes",
		10: "vpclmulqdq", 11: "avx512_vnni", 12: "avx512_bitalg", 14: "avx512_vpopcntdq", 22: "rdpid",
		25: "cldemote", 27: "movdiri", 28: "movdir64b"},
	{7, 0, 'd'}: {2: "avx512_4vnniw", 3: "avx512_4fmaps", 8: "avx512_vp2intersect", 14: "serialize", 16: "tsxldtrk",
		22: "amx_bf16", 23: "avx512_fp16", 24: "amx_tile", 25: "amx_int8"},
	{7, 1, 'a'}: {0: "sha512", 1: "sm3", 2: "sm4", 3: "rao_int", 4: "avx_vnni", 5: "avx512_bf16", 7: "cmpccxadd",
		21: "amx_fp16", 23: "avx_ifma"},
	{7, 1, 'd'}:          {4: "avx_vnni_int8", 5: "avx_ne_convert", 8: "amx_complex", 10: "avx_vnni_int16", 14: "prefetchi", 19: "avx10", 21: "apx_f"},
	{13, 1, 'a'}:         {0: "xsaveopt", 1: "xsavec", 2: "xgetbv1"},
	{0x80000001, 0, 'c'}: {0: "lahf_lm", 5: "abm", 6: "sse4a", 7: "misalignsse", 8: "3dnowprefetch", 11: "xop", 16: "fma4", 21: "tbm", 29: "mwaitx"},
	{0x80000001, 0, 'd'}: {22: "mmxext", 27: "rdtscp", 30: "3dnowext", 31: "3dnow"},
	{0x80000008, 0, 'b'}: {0: "clzero", 4: "rdpru"},
}

// ReadCPU asks the processor this runs on.
func ReadCPU() CPU {
	c := CPU{XCR0: sys.XCR0()}
	asked := cpuid{}
	for r, names := range cpuidFeatures {
		word := asked.register(r)
		for bit, name := range names {
			if word>>bit&1 != 0 {
				c.Features = append(c.Features, name)
			}
		}
	}
	slices.Sort(c.Features)
	if c.XCR0 != 0 {
		c.readLayout(asked)
	}
	return c
}

// cpuid is answers of the CPUID instruction, by leaf and subleaf. A virtual machine asks its
// hypervisor each time, which takes longer than a system call.
type cpuid map[[2]uint32][4]uint32

func (asked cpuid) leaf(leaf, sub uint32) (a, b, c, d uint32) {
	r, ok := asked[[2]uint32{leaf, sub}]
	if !ok {
		r[0], r[1], r[2], r[3] = sys.CPUID(leaf, sub)
		asked[[2]uint32{leaf, sub}] = r
	}
	return r[0], r[1], r[2], r[3]
}

func (asked cpuid) register(r register) uint32 {
	if most, _, _, _ := asked.leaf(r.leaf&0x80000000, 0); most < r.leaf {
		return 0
	}
	if r.leaf == 7 {
		if subs, _, _, _ := asked.leaf(r.leaf, 0); subs < r.sub {
			return 0
		}
	}
	a, b, c, d := asked.leaf(r.leaf, r.sub)
	switch r.reg {
	case 'b':
		return b
	case 'c':
		return c
	case 'd':
		return d
	}
	return a
}

// readLayout asks for the places of the components in the standard form.
func (c *CPU) readLayout(asked cpuid) {
	const leaf = 13
	_, size, _, _ := asked.leaf(leaf, 0)
	c.Size = int(size)
	for id := 2; id < 63; id++ {
		if c.XCR0>>id&1 != 0 {
			n, at, _, _ := asked.leaf(leaf, uint32(id))
			c.Components = append(c.Components, Component{id, int(at), int(n)})
		}
	}
}

// componentNames is what a person calls the parts of the extended state.
var componentNames = map[int]string{0: "x87", 1: "sse", 2: "avx", 3: "bndregs", 4: "bndcsr", 5: "avx512 masks", 6: "avx512 zmm_hi256",
	7: "avx512 hi16_zmm", 9: "pkru", 17: "amx tile configuration", 18: "amx tile data", 19: "apx"}

func componentName(id int) string {
	if name := componentNames[id]; name != "" {
		return name
	}
	return fmt.Sprintf("component %d", id)
}

// ErrCPU is the reason why a node cannot run a program that was started on
// another processor.
var ErrCPU = errors.New("the processor of this node is not what the program was started on")

// RunsOn tells why a program started on c cannot go on on the processor here; nil if it can.
func (c CPU) RunsOn(here CPU) error {
	lacks := c.beyond(here)
	for _, id := range bits(c.XCR0 &^ here.XCR0) {
		lacks = append(lacks, "the state of "+componentName(id))
	}
	if len(lacks) > 0 {
		return fmt.Errorf("%w: it lacks %s; start the program on the node whose processor has least, "+
			"or with --cpu-baseline (%s)", ErrCPU, strings.Join(lacks, ", "), here.level())
	}
	return c.sameLayout(here)
}

// beyond is the features that c has and the processor here has not.
func (c CPU) beyond(here CPU) (lacks []string) {
	for _, f := range c.Features {
		if !slices.Contains(here.Features, f) {
			lacks = append(lacks, f)
		}
	}
	return lacks
}

// level is the highest baseline that c has.
func (c CPU) level() Baseline {
	for _, b := range slices.Backward(Baselines) {
		if b.Check(c) == nil {
			return b
		}
	}
	return Baselines[0]
}

func bits(set uint64) (ids []int) {
	for id := range 64 {
		if set>>id&1 != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// sameLayout tells whether extended state saved on c can be restored here. More
// components here do no harm to who saves by XSAVEC, which leaves out what is
// not in use; XSAVE would write them too, behind the end of what was sized by c.
func (c CPU) sameLayout(here CPU) error {
	there := map[int]Component{}
	for _, k := range here.Components {
		there[k.ID] = k
	}
	for _, k := range c.Components {
		if there[k.ID] != k {
			return fmt.Errorf("%w: it keeps the state of %s elsewhere (%d bytes at %d, not %d at %d); run the program on "+
				"processors of one maker", ErrCPU, componentName(k.ID), there[k.ID].Size, there[k.ID].Offset, k.Size, k.Offset)
		}
	}
	if here.XCR0 != c.XCR0 && !slices.Contains(c.Features, "xsavec") {
		return errMoreState
	}
	return nil
}

var errMoreState = fmt.Errorf("%w: it has more extended state, which a program without XSAVEC would write behind its buffers", ErrCPU)

// Places in the XSAVE area, in bytes (Intel SDM volume 1, 13.4).
const (
	xstateHeader = 512
	legacyXState = 576
)

// Fit makes the extended state of c that of a processor with the components xcr0
// in size bytes. Components that it lacks are lost, those it has more are in
// their initial state; so nothing is lost of what the program can know of.
func (c *Context) Fit(xcr0 uint64, size int) {
	if len(c.XState) < legacyXState || size < legacyXState {
		return
	}
	x := make([]byte, size)
	copy(x, c.XState)
	putLE64(x[xstateHeader:], le64(x[xstateHeader:])&xcr0)
	c.XState = x
}

// FitFrom is Fit for the state of a thread of processor there that goes on on
// processor here. Rights of protection keys, when only here has such, are those
// that the kernel starts programs with: their initial state would be all rights.
func (c *Context) FitFrom(there, here CPU) {
	if here.XCR0 == there.XCR0 && here.Size == there.Size {
		return
	}
	c.Fit(here.XCR0, here.Size)
	if here.XCR0&^there.XCR0>>pkru&1 == 0 || len(c.XState) != here.Size {
		return
	}
	for _, k := range here.Components {
		if k.ID == pkru && k.Offset+4 <= len(c.XState) {
			binary.LittleEndian.PutUint32(c.XState[k.Offset:], pkruAtStart)
			putLE64(c.XState[xstateHeader:], le64(c.XState[xstateHeader:])|1<<pkru)
		}
	}
}
