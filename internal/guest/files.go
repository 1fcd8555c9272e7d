package guest

import (
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// files is which file content lay under memory that has been made anonymous:
// the program may want it back (madvise(2), MADV_DONTNEED). Memory that was
// changed before it could be written (text relocations) is not among it.
type files struct {
	kept []keptFile
	next vm.Addr // where the next one is put, 0 before the first
}

// keptFile is a range of the program, and where a mapping of its file waits.
type keptFile struct {
	vm.Range
	at vm.Addr
}

// cut is the part of f in r.
func (f keptFile) cut(r vm.Range) keptFile {
	part := f.Intersect(r)
	return keptFile{part, f.at + (part.Start - f.Start)}
}

// changed tells whether the program has made pages of the private file mapping
// at r its own.
func (p *Process) changed(r vm.Range) bool {
	const (
		ofFile  = 1 << 61 // Documentation/admin-guide/mm/pagemap.rst
		swapped = 1 << 62
		present = 1 << 63
	)
	buf := make([]byte, 8*vm.ChunkPages)
	for at := r.Start.Page(); at < r.End.Page(); {
		n := min(vm.ChunkPages, r.End.Page()-at)
		got, err := sys.Pread(p.pmap, buf[:8*n], int64(at)*8)
		if err != nil || got < int(8*n) {
			return true
		}
		for i := range n {
			e := le64(buf[8*i:])
			if e&swapped != 0 || e&present != 0 && e&ofFile == 0 {
				return true
			}
		}
		at += n
	}
	return false
}

// keepFile moves the file mapping at r away, without the pages the program has
// changed, and leaves one in its place for who reads there meanwhile. Kernels
// before 5.13 cannot do it: there, what the memory was is forgotten.
func (p *Process) keepFile(r vm.Range) {
	f := &p.files
	if f.next == 0 {
		f.next = filesBase
	}
	if uint64(agentEnd-f.next) < r.Size() {
		return
	}
	at := f.next
	if _, err := p.ByButler(sys.SYS_MREMAP, uint64(r.Start), r.Size(), r.Size(),
		mayMove|moveFixed|dontUnmap, uint64(at)); err != nil {
		return
	}
	f.next += vm.Addr(r.Size())
	const dontNeed = 4
	p.ByButler(sys.SYS_MADVISE, uint64(at), r.Size(), dontNeed)
	p.ByButler(sys.SYS_MPROTECT, uint64(at), r.Size(), 0)
	f.kept = append(f.kept, keptFile{r, at})
}

// FileRanges is the parts of r whose content was a file's before they were made
// anonymous.
func (p *Process) FileRanges(r vm.Range) []vm.Range {
	var out []vm.Range
	for _, f := range p.files.kept {
		if f.Overlaps(r) {
			out = append(out, f.Intersect(r))
		}
	}
	return out
}

// Refill gives the memory of r, which is one of FileRanges, the file's content
// back: each mapping there is replaced, in one call, by a fresh one.
func (p *Process) Refill(r vm.Range) error {
	for _, f := range p.files.kept {
		part := f.cut(r)
		for at := part.Start; at < part.End; {
			m, ok, err := p.MappingAt(at)
			if err != nil || !ok {
				return err
			}
			piece := part.cut(m.Range)
			err = p.stage(piece.Range, piece.at)
			if err == nil {
				err = p.unstage(piece.Range, m.Prot)
			}
			if err != nil {
				return fmt.Errorf("fill %v from its file: %w", piece.Range, err)
			}
			at = piece.End
		}
	}
	return nil
}

// ForgetFiles tells that the program's mappings in r are gone.
func (p *Process) ForgetFiles(r vm.Range) {
	var left []keptFile
	for _, f := range p.files.kept {
		if !f.Overlaps(r) {
			left = append(left, f)
			continue
		}
		gone := f.cut(r)
		p.ByButler(sys.SYS_MUNMAP, uint64(gone.at), gone.Size())
		for _, rest := range []keptFile{f.cut(vm.Range{End: r.Start}), f.cut(vm.Range{Start: r.End, End: f.End})} {
			if !rest.Empty() {
				left = append(left, rest)
			}
		}
	}
	p.files.kept = left
}

// MoveFiles tells that the program's memory at r has moved to address to, of
// which size bytes are now there.
func (p *Process) MoveFiles(r vm.Range, to vm.Addr, size uint64) {
	if r.Size() > size {
		p.ForgetFiles(vm.Range{Start: r.Start + vm.Addr(size), End: r.End})
	}
	for i, f := range p.files.kept {
		if !f.Overlaps(r) {
			continue
		}
		moved := f.cut(r)
		moved.Start, moved.End = moved.Start-r.Start+to, moved.End-r.Start+to
		p.files.kept[i] = moved
		for _, rest := range []keptFile{f.cut(vm.Range{End: r.Start}), f.cut(vm.Range{Start: r.End, End: f.End})} {
			if !rest.Empty() {
				p.files.kept = append(p.files.kept, rest)
			}
		}
	}
}
