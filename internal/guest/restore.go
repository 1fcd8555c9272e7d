package guest

import (
	"bytes"
	"errors"
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// RestoreMappings gives memory that has been made anonymous, or ordinary, back
// the kind it had. All pages must be at home, off the userfaultfd, and all
// threads of the program stopped.
func (p *Process) RestoreMappings() error {
	for _, f := range p.files.kept {
		if err := p.restoreFile(f); err != nil {
			return fmt.Errorf("restore file mapping at %v: %w", f.Range, err)
		}
	}
	p.files = files{}
	for _, r := range p.droppables {
		if err := p.restoreDroppable(r); err != nil {
			return fmt.Errorf("restore droppable memory at %v: %w", r, err)
		}
	}
	p.droppables = nil
	return nil
}

// restoreFile moves the mapping of the file back, mapping by mapping of what the
// program has made of the range meanwhile.
func (p *Process) restoreFile(f keptFile) error {
	ms, err := p.Mappings()
	if err != nil {
		return err
	}
	for _, m := range ms {
		if m.Kind != vm.Coherent || !m.Overlaps(f.Range) {
			continue
		}
		if err := p.restorePiece(f.cut(m.Range), m.Prot); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) restorePiece(f keptFile, prot vm.Prot) error {
	size := f.Size()
	if _, err := p.ByButler(sys.SYS_MPROTECT, uint64(f.at), size, sys.PROT_READ|sys.PROT_WRITE); err != nil {
		return err
	}
	if err := p.copyChanges(f); err != nil {
		return err
	}
	if _, err := p.ByButler(sys.SYS_MPROTECT, uint64(f.at), size, KernelProt(prot)); err != nil {
		return err
	}
	_, err := p.ByButler(sys.SYS_MREMAP, uint64(f.at), size, size, mayMove|moveFixed, uint64(f.Start))
	return err
}

// copyChanges makes pages of the kept mapping that differ from the program's
// memory the program's own. Where the file has no page, there was none.
func (p *Process) copyChanges(f keptFile) error {
	const most = 256 * vm.PageSize
	mine, kept := make([]byte, most), make([]byte, vm.PageSize)
	for off := vm.Addr(0); off < vm.Addr(f.Size()); off += most {
		n := min(most, f.Size()-uint64(off))
		if err := p.Read(f.Start+off, mine[:n]); err != nil {
			return err
		}
		for at := vm.Addr(0); at < vm.Addr(n); at += vm.PageSize {
			page, to := mine[at:at+vm.PageSize], f.at+off+at
			err := p.Read(to, kept)
			switch {
			case errors.Is(err, sys.EIO):
				continue
			case err == nil && !bytes.Equal(page, kept):
				err = p.Write(to, page)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Process) restoreDroppable(r vm.Range) error {
	m, ok, err := p.MappingAt(r.Start)
	if err != nil || !ok || m.Range != r || m.Kind != vm.Coherent {
		return err // the program has made something else of it
	}
	if err := p.stageAs(r, r.Start, mapDroppable|sys.MAP_ANONYMOUS|sys.MAP_FIXED); err != nil {
		return err
	}
	return p.unstage(r, m.Prot)
}
