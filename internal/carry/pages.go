package carry

import (
	"errors"
	"fmt"
	"slices"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// memory reads a program's memory where it is: in the process itself while it is
// stopped, else in a copy, and what a copy does not have in what was read before.
type memory struct {
	proc *guest.Process
	kept map[uint64][]byte // by start
}

func (m *memory) read(at uint64, b []byte) error {
	for start, data := range m.kept {
		if at >= start && at < start+uint64(len(data)) {
			copy(b, data[at-start:])
			return nil
		}
	}
	return m.proc.Read(vm.Addr(at), b)
}

// keepDirect reads the memory that a copy of the process will not have.
func (d *Draft) keepDirect() (map[uint64][]byte, error) {
	kept := map[uint64][]byte{}
	for _, r := range d.direct {
		b := make([]byte, r.End-r.Start)
		if err := readHoles(d.s.Proc, r.Start, b); err != nil {
			return nil, err
		}
		kept[r.Start] = b
	}
	return kept, nil
}

// readHoles reads memory in which some pages may not be had (behind the end of
// what is mapped, guards): they are zeros.
func readHoles(p *guest.Process, at uint64, b []byte) error {
	if p.Read(vm.Addr(at), b) == nil {
		return nil
	}
	for i := 0; i < len(b); i += vm.PageSize {
		page := b[i : i+vm.PageSize]
		if err := p.Read(vm.Addr(at)+vm.Addr(i), page); err != nil {
			if !errors.Is(err, sys.EIO) {
				return err
			}
			clear(page)
		}
	}
	return nil
}

// layOut finds which pages are to be saved, in pieces that become segments. The
// pagemap is of proc, which is the process or a copy of it.
func (d *Draft) layOut(proc *guest.Process, kept map[uint64][]byte) error {
	im := d.Image
	im.Segments = nil
	var pieces [][]image.Segment // of each mapping
	for i := range im.Process.Mappings {
		m := &im.Process.Mappings[i]
		s, err := d.piecesOf(proc, m, kept)
		if err != nil {
			return err
		}
		pieces = append(pieces, s)
	}
	im.Segments = few(pieces)
	for _, b := range d.blobs {
		im.Segments = append(im.Segments, image.Segment{Filesz: uint64(b.size), Blob: true})
	}
	return nil
}

func (d *Draft) piecesOf(proc *guest.Process, m *image.Mapping, kept map[uint64][]byte) ([]image.Segment, error) {
	whole := image.Segment{Start: m.Start, Memsz: m.End - m.Start, Prot: m.Prot}
	all := whole
	all.Filesz = all.Memsz
	_, direct := kept[m.Start]
	switch {
	case m.Kind == image.OfKernel && m.Name == "[vdso]":
		all.Shown = true
		return []image.Segment{all}, nil
	case m.Kind == image.OfKernel:
		return nil, nil
	case m.Kind == image.OfFile && m.Shared:
		return []image.Segment{whole}, nil
	case direct, d.whole[m.Start]:
		return []image.Segment{all}, nil
	}
	return d.held(proc, m)
}

// held is the pages of a private mapping that the program has something in.
func (d *Draft) held(proc *guest.Process, m *image.Mapping) ([]image.Segment, error) {
	var out []image.Segment
	at := m.Start
	put := func(from, to uint64, shown bool) {
		if n := len(out); n > 0 && out[n-1].Start+out[n-1].Filesz == from && out[n-1].Shown == shown {
			out[n-1].Filesz += to - from
			out[n-1].Memsz = out[n-1].Filesz
			return
		}
		out = append(out, image.Segment{Start: from, Filesz: to - from, Memsz: to - from, Prot: m.Prot, Shown: shown})
	}
	if m.Kind == image.OfFile && m.Offset == 0 && isELF(proc, m.Start) {
		put(m.Start, m.Start+vm.PageSize, true) // debuggers tell by it which file that was
	}
	err := eachHeld(proc.Pagemap(), m.Start, m.End, func(r sys.PageRegion) {
		switch {
		case r.Categories&sys.PageIsPFNZero != 0, m.Kind == image.OfFile && r.Categories&sys.PageIsFile != 0:
		default:
			d.putHeld(proc, m, r, func(from, to uint64) { put(from, to, false) })
		}
	})
	if err != nil {
		return nil, fmt.Errorf("find pages of %#x: %w", at, err)
	}
	return out, nil
}

func isELF(proc *guest.Process, at uint64) bool {
	var magic [4]byte
	return proc.Read(vm.Addr(at), magic[:]) == nil && string(magic[:]) == "\x7fELF"
}

// putHeld passes on a region, without guard regions, which count as swapped out.
func (d *Draft) putHeld(proc *guest.Process, m *image.Mapping, r sys.PageRegion, put func(from, to uint64)) {
	if r.Categories&sys.PageIsSwapped == 0 {
		put(r.Start, r.End)
		return
	}
	const guard = 1 << 58 // Documentation/admin-guide/mm/pagemap.rst
	b := make([]byte, 8)
	for at := r.Start; at < r.End; at += vm.PageSize {
		if n, err := sys.Pread(proc.Pagemap(), b, int64(at/vm.PageSize*8)); err != nil || n < 8 || le.Uint64(b)&guard == 0 {
			put(at, at+vm.PageSize)
			continue
		}
		if n := len(m.Guards); n > 0 && m.Guards[n-1].End == at {
			m.Guards[n-1].End += vm.PageSize
			continue
		}
		m.Guards = append(m.Guards, image.Range{Start: at, End: at + vm.PageSize})
	}
}

// eachHeld calls f with the regions of [start, end) that the process has
// something in.
func eachHeld(pagemap int, start, end uint64, f func(sys.PageRegion)) error {
	buf := make([]sys.PageRegion, 512)
	for start < end {
		n, next, err := sys.PagemapHeld(pagemap, start, end, buf)
		if errors.Is(err, sys.ENOTTY) {
			return eachHeldSlowly(pagemap, start, end, f)
		}
		if err != nil {
			return err
		}
		for _, r := range buf[:n] {
			f(r)
		}
		if next <= start {
			break
		}
		start = next
	}
	return nil
}

// eachHeldSlowly is eachHeld for kernels before 6.7.
func eachHeldSlowly(pagemap int, start, end uint64, f func(sys.PageRegion)) error {
	const (
		ofFile  = 1 << 61 // Documentation/admin-guide/mm/pagemap.rst
		swapped = 1 << 62
		present = 1 << 63
		batch   = 4096
	)
	buf := make([]byte, 8*batch)
	for start < end {
		pages := min((end-start)/vm.PageSize, batch)
		n, err := sys.Pread(pagemap, buf[:8*pages], int64(start/vm.PageSize*8))
		if err != nil || n < int(8*pages) {
			return errors.Join(err, sys.EIO)
		}
		for i := range pages {
			e := le.Uint64(buf[8*i:])
			r := sys.PageRegion{Start: start + i*vm.PageSize, End: start + (i+1)*vm.PageSize}
			for bit, c := range map[uint64]uint64{ofFile: sys.PageIsFile, swapped: sys.PageIsSwapped, present: sys.PageIsPresent} {
				if e&bit != 0 {
					r.Categories |= c
				}
			}
			if r.Categories&(sys.PageIsPresent|sys.PageIsSwapped) != 0 {
				f(r)
			}
		}
		start += pages * vm.PageSize
	}
	return nil
}

// mostPieces bounds the headers of an image; a page of zeros between two pieces
// costs less than a header does.
const mostPieces = 30000

// few joins pieces of one mapping that lie close together until there are not
// too many.
func few(pieces [][]image.Segment) []image.Segment {
	for gap := uint64(vm.PageSize); count(pieces) > mostPieces; gap *= 2 {
		for i := range pieces {
			pieces[i] = joined(pieces[i], gap)
		}
	}
	return slices.Concat(pieces...)
}

func count(pieces [][]image.Segment) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// joined is pieces with gaps of at most gap bytes filled.
func joined(pieces []image.Segment, gap uint64) (out []image.Segment) {
	for _, s := range pieces {
		if n := len(out); n > 0 && !s.Shown && !out[n-1].Shown && s.Start-out[n-1].Start-out[n-1].Filesz <= gap {
			out[n-1].Filesz = s.Start + s.Filesz - out[n-1].Start
			out[n-1].Memsz = out[n-1].Filesz
			continue
		}
		out = append(out, s)
	}
	return out
}
