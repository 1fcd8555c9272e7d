package pager

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

func homeArena(t *testing.T, pages int) (*arena, *Home) {
	a := newArena(t, pages, -1)
	return a, NewHome(a, a.uffd)
}

// get does all of op, as a pager would.
func get(t *testing.T, m Memory, r vm.Run, op coherence.Op) ([]byte, Found) {
	t.Helper()
	b, what, err := m.Get(r, op, coherence.Exclusive, nil)
	check(t, err)
	if op == coherence.Take && what != Nothing {
		check(t, m.Drop(r))
		check(t, m.Settle())
	}
	return b, what
}

func onePage(t *testing.T, c byte) wire.Pages {
	t.Helper()
	p, err := wire.DecodePages(wire.EncodePages(nil, bytes.Repeat([]byte{c}, vm.PageSize)), 1)
	check(t, err)
	return p
}

// TestTakeProtectsThenReadsThenZaps: a write that comes between the read and the
// zap would be lost. When the page is read a writer must already be held up,
// and when it is zapped it must have been read.
func TestTakeProtectsThenReadsThenZaps(t *testing.T) {
	a, h := homeArena(t, 4)
	check(t, <-a.store(1, 'a'))
	var writer <-chan error
	reads := 0
	a.onRead = func() {
		reads++
		writer = a.store(1, 'b')
		if f := a.faultOf(writer); !f.WP || f.Addr != uint64(a.page(1).Addr()) {
			t.Errorf("writer met fault %+v, want write-protection of page 1", f)
		}
	}
	a.onZap = func() {
		if reads != 1 {
			t.Errorf("zapped after %d reads", reads)
		}
	}
	b, what := get(t, h, a.run(1, 1), coherence.Take)
	if what != Bytes || b[0] != 'a' {
		t.Fatalf("took %q, found %v", b[0], what)
	}
	if len(a.zapped) != 1 || a.isPresent(1) {
		t.Fatalf("zapped %d times, present %v", len(a.zapped), a.isPresent(1))
	}
	check(t, h.Put(a.page(1), onePage(t, 'c'), false))
	check(t, <-writer)
	if b, _ := get(t, NewHome(&arena{t: t, fd: a.fd, mapping: a.mapping}, a.uffd), a.run(1, 1), coherence.Copy); b[0] != 'b' || b[1] != 'c' {
		t.Fatalf("page holds %q, want the writer's byte and the new content", b[:2])
	}
}

func TestDowngradeLeavesACopyThatCannotBeWritten(t *testing.T) {
	a, h := homeArena(t, 2)
	check(t, <-a.store(0, 'a'))
	if b, _ := get(t, h, a.run(0, 1), coherence.Downgrade); b[0] != 'a' {
		t.Fatalf("read %q", b[0])
	}
	if c := a.loaded(a.load(0)); c != 'a' {
		t.Fatalf("copy holds %q", c)
	}
	writer := a.store(0, 'b')
	if f := a.faultOf(writer); !f.WP {
		t.Fatalf("fault %+v", f)
	}
	check(t, h.Unprotect(a.run(0, 1)))
	check(t, <-writer)
}

func TestUntouchedMemoryIsTakenAsZerosWithoutBeingMade(t *testing.T) {
	a, h := homeArena(t, 8)
	check(t, <-a.store(3, 'x'))
	if _, what := get(t, h, a.run(4, 4), coherence.Take); what != Nothing || a.isPresent(5) || len(a.zapped) > 0 {
		t.Fatalf("found %v, present %v, zapped %d times", what, a.isPresent(5), len(a.zapped))
	}
	b, what := get(t, h, a.run(0, 8), coherence.Take)
	if what != Bytes || len(b) != 8*vm.PageSize || b[3*vm.PageSize] != 'x' || b[2*vm.PageSize] != 0 {
		t.Fatalf("took %d bytes, found %v", len(b), what)
	}
	reader := a.load(5)
	a.faultOf(reader)
	check(t, h.PutZero(a.run(5, 1), true))
	if c := a.loaded(reader); c != 0 {
		t.Fatalf("read %q", c)
	}
}

func TestUntouchedIsTheRunNobodyUsed(t *testing.T) {
	a, h := homeArena(t, 16)
	check(t, <-a.store(2, 'x'))
	check(t, <-a.store(9, 'x'))
	r, ok := h.Untouched(a.page(5))
	chunk := a.page(5).Chunk().Page()
	want := vm.Run{First: max(a.page(3), chunk), N: 0}
	want.N = uint32(min(a.page(9), chunk+vm.ChunkPages) - want.First)
	if !ok || r != want {
		t.Fatalf("got %v %v, want %v", r, ok, want)
	}
	if _, ok := h.Untouched(a.page(2)); ok {
		t.Fatal("a page in use is called untouched")
	}
	reader := a.load(5)
	a.faultOf(reader) // it is under the userfaultfd now
	check(t, h.Wake(a.page(5), coherence.Exclusive))
	if c := a.loaded(reader); c != 0 {
		t.Fatalf("read %q", c)
	}
}

func TestRightsAreHomes(t *testing.T) {
	a, h := homeArena(t, 2)
	a.mapping.Prot = vm.ProtRead
	if _, _, err := h.Get(a.run(0, 1), coherence.Take, coherence.Exclusive, nil); !errors.Is(err, ErrNoMapping) {
		t.Fatalf("read-only memory was given for writing: %v", err)
	}
	if _, _, err := h.Get(a.run(1, 2), coherence.Downgrade, coherence.Shared, nil); !errors.Is(err, ErrNoMapping) {
		t.Fatalf("memory behind the mapping's end was given: %v", err)
	}
	if len(a.zapped) > 0 {
		t.Fatal("a refused get has zapped")
	}
}

// TestWaitersOfLostMemoryWake: who waits for a page whose mapping goes away
// would sleep for ever, for the kernel does not wake it.
func TestWaitersOfLostMemoryWake(t *testing.T) {
	for name, wake := range map[string]func(a *arena, h *Home) error{
		"wake exclusive": func(a *arena, h *Home) error { return h.Wake(a.page(0), coherence.Exclusive) },
		"wake shared":    func(a *arena, h *Home) error { return h.Wake(a.page(0), coherence.Shared) },
		"wake invalid":   func(a *arena, h *Home) error { return h.Wake(a.page(0), coherence.Invalid) },
		"put":            func(a *arena, h *Home) error { return h.Put(a.page(0), onePage(a.t, 1), false) },
		"put zero":       func(a *arena, h *Home) error { return h.PutZero(a.run(0, 1), false) },
		"put zero copy":  func(a *arena, h *Home) error { return h.PutZero(a.run(0, 1), true) },
		"unprotect":      func(a *arena, h *Home) error { return h.Unprotect(a.run(0, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			a, h := homeArena(t, 1)
			get(t, h, a.run(0, 1), coherence.Take)
			reader := a.load(0)
			a.faultOf(reader)
			check(t, sys.Munmap(a.mem))
			if err := wake(a, h); err != nil && !errors.Is(err, ErrNoMapping) {
				t.Fatal(err)
			}
			if err := <-reader; !errors.Is(err, sys.EFAULT) {
				t.Fatalf("the reader ended with %v", err)
			}
		})
	}
}

func TestRemappedMemoryIsRegisteredAgain(t *testing.T) {
	a, h := homeArena(t, 4)
	get(t, h, a.run(0, 4), coherence.Take)
	start := a.mapping.Start
	check(t, sys.Munmap(a.mem))
	_, err := unix.MmapPtr(-1, 0, addressOf(a.mem), uintptr(len(a.mem)), sys.PROT_READ|sys.PROT_WRITE,
		sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_FIXED)
	check(t, err)
	h.Remapped(vm.Range{Start: start + vm.PageSize, End: start + 3*vm.PageSize})
	if !h.registered[start.Chunk()].has(a.page(0)) || h.registered[a.page(1).Chunk()].has(a.page(1)) {
		t.Fatal("remapped memory is not what was said")
	}
	get(t, h, a.run(1, 1), coherence.Take)
	reader := a.load(1)
	a.faultOf(reader)
	check(t, h.Wake(a.page(1), coherence.Exclusive))
	a.loaded(reader)
}

func TestLockedMemoryCanBeTaken(t *testing.T) {
	a, h := homeArena(t, 1)
	check(t, <-a.store(0, 'l'))
	if err := unix.Mlock(a.mem); err != nil {
		t.Skip(err)
	}
	if b, _ := get(t, h, a.run(0, 1), coherence.Take); b[0] != 'l' || a.isPresent(0) {
		t.Fatalf("took %q, still present %v", b[0], a.isPresent(0))
	}
}

func TestGuardRegionsAreNoMemory(t *testing.T) {
	const guardInstall = 102
	a, h := homeArena(t, 3)
	check(t, <-a.store(0, 'x'))
	if err := sys.Madvise(a.mem[vm.PageSize:2*vm.PageSize], guardInstall); err != nil {
		t.Skipf("no guard regions: %v", err)
	}
	if _, _, err := h.Get(a.run(0, 3), coherence.Take, coherence.Exclusive, nil); !errors.Is(err, ErrNoMapping) {
		t.Fatalf("a guard region was taken: %v", err)
	}
	if b, _ := get(t, h, a.run(0, 1), coherence.Take); b[0] != 'x' {
		t.Fatalf("its neighbour holds %q", b[0])
	}
}
