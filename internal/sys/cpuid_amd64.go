package sys

// CPUID executes the instruction of that name: what this processor says of
// itself under leaf and sub.
func CPUID(leaf, sub uint32) (a, b, c, d uint32)

func xgetbv() (lo, hi uint32)

// XCR0 is the components of extended state that the kernel has turned on, as
// bits; 0 when the processor or the kernel knows no XSAVE.
func XCR0() uint64 {
	const osxsave = 1 << 27
	if _, _, c, _ := CPUID(1, 0); c&osxsave == 0 {
		return 0
	}
	lo, hi := xgetbv()
	return uint64(hi)<<32 | uint64(lo)
}
