package job

import (
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Flags of mremap (linux/mman.h).
const (
	mayMove   = 1
	moveFixed = 2
	dontUnmap = 4
)

func (o *origin) mremap(args [6]uint64, do func() uint64, done func(uint64, bool)) {
	from := rangeOf(args[0], max(args[1], 1))
	rs := []vm.Range{from}
	if args[3]&moveFixed != 0 {
		// What stands at the target is replaced, unless the call is refused.
		rs = append(rs, rangeOf(args[4], args[2]))
	}
	o.keeping(rs, func() uint64 {
		ret, several := o.movePieces(from, args)
		if !several {
			ret = do()
		}
		if failed(ret) {
			return ret
		}
		to := rangeOf(ret, args[2])
		if ret != args[0] {
			o.proc.ForgetFiles(to)
		}
		o.proc.MoveFiles(from, to.Start, to.Size())
		o.changed(to)
		return ret
	}, done)
}

// pieces is the mappings under r when they are one to the program, and several
// only because not all of it is under the userfaultfd; else nil.
func (o *origin) pieces(r vm.Range) []vm.Range {
	var out []vm.Range
	var prot vm.Prot
	for at := r.Start; at < r.End; {
		m, ok, err := o.proc.MappingAt(at)
		if err != nil || !ok || m.Kind != vm.Coherent || len(out) > 0 && m.Prot != prot {
			return nil
		}
		prot = m.Prot
		out = append(out, m.Range.Intersect(r))
		at = m.End
	}
	return out
}

// movePieces makes an mremap of r piece by piece if we have made several mappings of
// what is one to the program; several is false otherwise. The kernel moves one mapping
// at a time; since 6.17 several, but it stops with EFAULT, the first of them moved, when
// it comes to one under a userfaultfd (vma_multi_allowed, mm/mremap.c).
func (o *origin) movePieces(r vm.Range, args [6]uint64) (ret uint64, several bool) {
	size := uint64(vm.Addr(args[2]).Up())
	tail := vm.Range{Start: r.Start + vm.Addr(size), End: r.End}
	r.End = min(r.End, tail.Start)
	ps := o.pieces(r)
	if len(ps) < 2 || args[3]&^(mayMove|moveFixed|dontUnmap) != 0 || args[3]&dontUnmap != 0 && size != r.Size() {
		return 0, false
	}
	if !tail.Empty() {
		o.byButler(sys.SYS_MUNMAP, [6]uint64{uint64(tail.Start), tail.Size()})
	}
	return o.move(r, size, ps, args), true
}

// move moves the pieces of r, which shall have size bytes.
func (o *origin) move(r vm.Range, size uint64, ps []vm.Range, args [6]uint64) uint64 {
	last := ps[len(ps)-1]
	more := size - r.Size()
	to := args[4]
	if args[3]&moveFixed == 0 {
		if args[3]&dontUnmap == 0 {
			ret := o.byButler(sys.SYS_MREMAP, [6]uint64{uint64(last.Start), last.Size(), last.Size() + more})
			if !failed(ret) {
				return uint64(r.Start) // it could grow where it is
			}
			if args[3]&mayMove == 0 {
				return ret
			}
		}
		to = o.byButler(sys.SYS_MMAP, [6]uint64{0, size, 0, sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_NORESERVE, ^uint64(0)})
		if failed(to) {
			return to
		}
	}
	for _, p := range ps {
		grown := p.Size()
		if p == last {
			grown += more
		}
		at := to + uint64(p.Start-r.Start)
		ret := o.byButler(sys.SYS_MREMAP, [6]uint64{uint64(p.Start), p.Size(), grown, mayMove | moveFixed | args[3]&dontUnmap, at})
		if failed(ret) {
			return ret
		}
	}
	return to
}
