package pager

import (
	"errors"
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// Guest is what home's memory needs of the origin's process.
type Guest interface {
	Read(a vm.Addr, b []byte) error
	Present(r vm.Run, present []bool) error
	MappingAt(a vm.Addr) (vm.Mapping, bool, error)
	// BeginByButler begins an address-space call inside the guest, one at a time.
	BeginByButler(nr uint64, args ...uint64) (guest.Errand, error)
	// EndByButler waits for its end.
	EndByButler(guest.Errand) (uint64, error)
}

// Home is the origin's memory: the program's own anonymous mappings. A chunk of
// it is put under the userfaultfd when another node first wants something of it.
type Home struct {
	guest Guest
	uffd  *sys.UFFD
	// registered has a bit for every page under the userfaultfd.
	registered map[vm.Chunk]*chunkBits
	// last is the mapping that was asked for last. Whatever takes something from
	// it is told by Remapped; what adds to it may not be.
	last    vm.Mapping
	zero    [vm.PageSize]byte
	present [vm.ChunkPages]bool
	zapping vm.Run // by the butler, on errand; none when empty
	errand  guest.Errand
}

type chunkBits [vm.ChunkPages / 64]uint64

func (b *chunkBits) has(p vm.Page) bool {
	i := p % vm.ChunkPages
	return b[i/64]>>(i%64)&1 != 0
}

func (b *chunkBits) set(p vm.Page, on bool) {
	i := p % vm.ChunkPages
	if on {
		b[i/64] |= 1 << (i % 64)
	} else {
		b[i/64] &^= 1 << (i % 64)
	}
}

// NewHome makes the memory of the origin's guest.
func NewHome(g Guest, u *sys.UFFD) *Home {
	return &Home{guest: g, uffd: u, registered: map[vm.Chunk]*chunkBits{}}
}

// Remapped tells that the kernel dropped or replaced the mappings in r, and the
// registrations with them.
func (h *Home) Remapped(r vm.Range) {
	if h.last.Overlaps(r) {
		h.last = vm.Mapping{}
	}
	if first, last := r.Start.Chunk(), (r.End - 1).Chunk(); uint64(last-first) < uint64(len(h.registered)) {
		for c := first; c <= last; c++ {
			h.unregistered(c, r)
		}
		return
	}
	for c := range h.registered {
		h.unregistered(c, r)
	}
}

func (h *Home) unregistered(c vm.Chunk, r vm.Range) {
	bits := h.registered[c]
	whole := vm.Range{Start: c.Addr(), End: (c + 1).Addr()}
	part := whole.Intersect(r)
	switch {
	case bits == nil || part.Empty():
	case part == whole:
		delete(h.registered, c)
	default:
		for p := part.Start.Page(); p < part.End.Page(); p++ {
			bits.set(p, false)
		}
	}
}

// mapping is that of page p, which must be fit to be granted in mode.
func (h *Home) mapping(p vm.Page, mode coherence.Mode) (vm.Mapping, error) {
	if h.last.Contains(p.Addr()) && allows(h.last, mode) {
		return h.last, nil
	}
	m, ok, err := h.guest.MappingAt(p.Addr())
	switch {
	case err != nil:
		return m, err
	case !ok, !allows(m, mode):
		return m, ErrNoMapping
	}
	h.last = m
	return m, nil
}

// register makes sure page p's surroundings are under the userfaultfd and tells
// the mapping, which must be fit to be granted in mode.
func (h *Home) register(p vm.Page, mode coherence.Mode) (vm.Mapping, error) {
	m, err := h.mapping(p, mode)
	if err != nil || m.Kind != vm.Coherent {
		return m, err
	}
	c := p.Chunk()
	bits := h.registered[c]
	if bits != nil && bits.has(p) {
		return m, nil
	}
	part := m.Range.Intersect(vm.Range{Start: c.Addr(), End: (c + 1).Addr()})
	if _, err := h.uffd.Register(uint64(part.Start), part.Size(), sys.RegisterModeMissing|sys.RegisterModeWP); err != nil {
		return m, fmt.Errorf("register %v with userfaultfd: %w", part, err)
	}
	if bits == nil {
		bits = &chunkBits{}
		h.registered[c] = bits
	}
	for run := part.Pages(); run.N > 0; run.First, run.N = run.First+1, run.N-1 {
		bits.set(run.First, true)
	}
	return m, nil
}

// allows tells whether a mapping can be granted in mode.
func allows(m vm.Mapping, mode coherence.Mode) bool {
	if mode == coherence.Exclusive && m.Prot&vm.ProtWrite == 0 {
		return false
	}
	return m.Kind == vm.Coherent || m.Kind == vm.Immutable && mode == coherence.Shared
}

// part is a piece of a run with one kind of mapping.
type part struct {
	vm.Run
	kind vm.Kind
}

// parts prepares the mappings under r for being granted in mode.
func (h *Home) parts(r vm.Run, mode coherence.Mode) ([]part, error) {
	var out []part
	for at := r.First; at < r.End(); {
		m, err := h.register(at, mode)
		if err != nil {
			return nil, err
		}
		end := min(m.End.Page(), r.End(), (at.Chunk() + 1).Page())
		out = append(out, part{vm.Run{First: at, N: uint32(end - at)}, m.Kind})
		at = end
	}
	return out, nil
}

// Get implements Memory. The order is: write-protect, read; and only then zap:
// without the write-protection writes between read and zap would be lost.
func (h *Home) Get(r vm.Run, op coherence.Op, mode coherence.Mode, b []byte) ([]byte, Found, error) {
	parts, err := h.parts(r, mode)
	if err != nil {
		return b, Nothing, err
	}
	found := Nothing
	for _, p := range parts {
		what := Bytes
		if p.kind == vm.Immutable {
			b, err = h.readFile(p.Run, b)
		} else {
			b, what, err = h.getAnonymous(p.Run, op, b)
		}
		if err != nil {
			return b, Nothing, err
		}
		found = max(found, what)
	}
	return b, found, nil
}

func (h *Home) getAnonymous(r vm.Run, op coherence.Op, b []byte) ([]byte, Found, error) {
	if op != coherence.Copy {
		g := r.Range()
		if err := mapped(h.uffd.WriteProtect(uint64(g.Start), g.Size(), true)); err != nil {
			return b, Nothing, err
		}
	}
	return h.read(r, b)
}

// read appends the bytes of r; pages the kernel has nothing for are zeros.
func (h *Home) read(r vm.Run, b []byte) ([]byte, Found, error) {
	// A page that is not there makes this fail at once (EIO): they are registered.
	at := len(b)
	b = grow(b, int(r.N)*vm.PageSize)
	if h.guest.Read(r.First.Addr(), b[at:]) == nil {
		return b, Bytes, nil
	}
	return h.readPresent(r, b[:at])
}

func (h *Home) readPresent(r vm.Run, b []byte) ([]byte, Found, error) {
	present := h.present[:r.N]
	if err := h.guest.Present(r, present); err != nil {
		return b, Nothing, err
	}
	found := Nothing
	for i := 0; i < len(present); {
		j := i + 1
		for j < len(present) && present[j] == present[i] {
			j++
		}
		at := len(b)
		b = grow(b, (j-i)*vm.PageSize)
		if present[i] {
			found = Bytes
			if err := h.guest.Read((r.First + vm.Page(i)).Addr(), b[at:]); err != nil {
				return b, Nothing, unreadable(err)
			}
		} else {
			clear(b[at:])
		}
		i = j
	}
	return b, found, nil
}

// unreadable is why memory with a mapping cannot be read: guard regions
// (MADV_GUARD_INSTALL), and what is behind a file's end, are as if there were none.
func unreadable(err error) error {
	if errors.Is(err, sys.EIO) {
		return fmt.Errorf("%w: %w", ErrNoMapping, err)
	}
	return err
}

// readFile appends pages of a file mapping. Behind the file's end there are none:
// who touches them gets SIGBUS, at home (test/guests/sig_sync.c).
func (h *Home) readFile(r vm.Run, b []byte) ([]byte, error) {
	at := len(b)
	b = grow(b, int(r.N)*vm.PageSize)
	if err := h.guest.Read(r.First.Addr(), b[at:]); err != nil {
		return b, unreadable(err)
	}
	return b, nil
}

// grow lengthens b by n bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		bigger := make([]byte, len(b), 2*cap(b)+n)
		copy(bigger, b)
		b = bigger
	}
	return b[:len(b)+n]
}

// Put implements Memory.
func (h *Home) Put(first vm.Page, pages wire.Pages, shared bool) error {
	return put(h.uffd, first, pages, shared, h.zero[:])
}

// PutZero implements Memory.
func (h *Home) PutZero(r vm.Run, shared bool) error {
	return putZero(h.uffd, r, shared, h.zero[:])
}

// Unprotect implements Memory.
func (h *Home) Unprotect(r vm.Run) error { return unprotect(h.uffd, r) }

// Advice of madvise(2) that zaps.
const (
	dontNeed       = 4
	dontNeedLocked = 24
)

// Drop implements Memory. A zap needs the guest's own address space: the butler
// does it.
func (h *Home) Drop(r vm.Run) error {
	if err := h.Settle(); err != nil {
		return err
	}
	if err := h.beginZap(r, dontNeed); err != nil {
		return err
	}
	h.zapping = r
	return nil
}

func (h *Home) beginZap(r vm.Run, advice uint64) (err error) {
	g := r.Range()
	h.errand, err = h.guest.BeginByButler(sys.SYS_MADVISE, uint64(g.Start), g.Size(), advice)
	return zapError(r, err)
}

// Settle implements Memory.
func (h *Home) Settle() error {
	r := h.zapping
	if r.N == 0 {
		return nil
	}
	h.zapping = vm.Run{}
	_, err := h.guest.EndByButler(h.errand)
	if errors.Is(err, sys.EINVAL) { // mlock(2) keeps it, until Linux 5.18 from us too
		if err := h.beginZap(r, dontNeedLocked); err != nil {
			return err
		}
		_, err = h.guest.EndByButler(h.errand)
	}
	return zapError(r, err)
}

func zapError(r vm.Run, err error) error {
	if err != nil {
		return fmt.Errorf("zap %v: %w", r, err)
	}
	return nil
}

// Wake implements Memory.
func (h *Home) Wake(p vm.Page, mode coherence.Mode) error {
	return wake(h.uffd, p, mode, h.zero[:])
}

// Bound implements Memory.
func (h *Home) Bound(p vm.Page, n uint32) uint32 {
	if n == 1 {
		return 1
	}
	m, ok, err := h.guest.MappingAt(p.Addr())
	if err != nil || !ok {
		return 1
	}
	return min(n, uint32(min(m.End.Page()-p, maxAhead)))
}

// Untouched is the run of pages around p, within its chunk and mapping, that no
// thread ever touched; from now on home faults on them. It answers the machine's
// hook of that name.
func (h *Home) Untouched(p vm.Page) (vm.Run, bool) {
	m, err := h.register(p, coherence.Exclusive)
	if err != nil {
		return vm.Run{}, false
	}
	c := p.Chunk()
	whole := m.Range.Intersect(vm.Range{Start: c.Addr(), End: (c + 1).Addr()}).Pages()
	present := h.present[:whole.N]
	if err := h.guest.Present(whole, present); err != nil {
		return vm.Run{}, false
	}
	i := int(p - whole.First)
	if present[i] {
		return vm.Run{}, false
	}
	from, to := i, i+1
	for from > 0 && !present[from-1] {
		from--
	}
	for to < len(present) && !present[to] {
		to++
	}
	return vm.Run{First: whole.First + vm.Page(from), N: uint32(to - from)}, true
}
