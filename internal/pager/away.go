package pager

import (
	"errors"
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// Away is a remote's memory: a memfd in which a page's offset is its address,
// mapped everywhere by the stub. The supervisor reads and punches it without the
// guest.
type Away struct {
	fd     int
	uffd   *sys.UFFD
	mapped func(a vm.Addr) (vm.Mapping, bool)
	// open is runs of untouched memory, all granted to this node and taken off
	// the userfaultfd, so that the kernel fills them with zeros by itself.
	open []vm.Run
	zero [vm.PageSize]byte
}

// openAbove is the pages from which a grant of zeros is left to the kernel.
const openAbove = 16

// NewAway makes the memory of a stub; mapped finds the stub's mappings.
func NewAway(memfd int, u *sys.UFFD, mapped func(vm.Addr) (vm.Mapping, bool)) *Away {
	return &Away{fd: memfd, uffd: u, mapped: mapped}
}

// close puts open runs that touch r back under the userfaultfd.
func (a *Away) close(r vm.Run) error {
	keep := a.open[:0]
	var err error
	for _, o := range a.open {
		if o.First >= r.End() || r.First >= o.End() {
			keep = append(keep, o)
			continue
		}
		err = errors.Join(err, a.register(o))
	}
	a.open = keep
	return err
}

func (a *Away) register(r vm.Run) error {
	g := r.Range()
	_, err := a.uffd.Register(uint64(g.Start), g.Size(), sys.RegisterModeMissing|sys.RegisterModeWP)
	return mapped(err)
}

// Get implements Memory.
func (a *Away) Get(r vm.Run, op coherence.Op, _ coherence.Mode, b []byte) ([]byte, Found, error) {
	if err := a.close(r); err != nil {
		return b, Nothing, err
	}
	if op != coherence.Copy {
		g := r.Range()
		if err := mapped(a.uffd.WriteProtect(uint64(g.Start), g.Size(), true)); err != nil {
			return b, Nothing, err
		}
	}
	at := len(b)
	b = grow(b, int(r.N)*vm.PageSize)
	if _, err := sys.PeekMemory(a.fd, b[at:], int64(r.First.Addr())); err != nil {
		return b, Nothing, fmt.Errorf("read guest memory at %v: %w", r, err)
	}
	for p := b[at:]; len(p) > 0; p = p[vm.PageSize:] {
		if !wire.IsZero(p[:vm.PageSize]) {
			return b, Bytes, nil
		}
	}
	return b, Zeros, nil
}

// Put implements Memory.
func (a *Away) Put(first vm.Page, pages wire.Pages, shared bool) error {
	return put(a.uffd, first, pages, shared, a.zero[:])
}

// PutZero implements Memory.
func (a *Away) PutZero(r vm.Run, shared bool) error {
	if shared || r.N <= openAbove {
		return putZero(a.uffd, r, shared, a.zero[:])
	}
	g := r.Range()
	if err := mapped(a.uffd.Unregister(uint64(g.Start), g.Size())); err != nil {
		return err
	}
	a.open = append(a.open, r)
	return a.uffd.Wake(uint64(g.Start), g.Size())
}

// Unprotect implements Memory.
func (a *Away) Unprotect(r vm.Run) error { return unprotect(a.uffd, r) }

// Drop implements Memory.
func (a *Away) Drop(r vm.Run) error {
	g := r.Range()
	return errors.Join(a.close(r), zapError(r, sys.PunchHole(a.fd, int64(g.Start), int64(g.Size()))))
}

// Settle implements Memory: Drop leaves nothing to wait for.
func (a *Away) Settle() error { return nil }

// Wake implements Memory.
func (a *Away) Wake(p vm.Page, mode coherence.Mode) error { return wake(a.uffd, p, mode, a.zero[:]) }

// Bound implements Memory.
func (a *Away) Bound(p vm.Page, n uint32) uint32 {
	if n == 1 {
		return 1
	}
	m, ok := a.mapped(p.Addr())
	if !ok {
		return 1
	}
	return min(n, uint32(min(m.End.Page()-p, maxAhead)))
}
