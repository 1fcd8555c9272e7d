package pager

import (
	"errors"
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// mapped turns the kernel's word for a missing mapping into ours.
func mapped(err error) error {
	if errors.Is(err, sys.ENOENT) || errors.Is(err, sys.EINVAL) {
		return fmt.Errorf("%w: %w", ErrNoMapping, err)
	}
	return err
}

// maxTries bounds repetitions while the guest changes its mappings (EAGAIN).
const maxTries = 10000

// again repeats f for as long as it is told to.
func again(f func() error) (err error) {
	for range maxTries {
		if err = f(); !errors.Is(err, sys.EAGAIN) {
			return err
		}
	}
	return err
}

// rouse wakes who waits in r for what err kept from being done: a mapping that
// went away meanwhile does not wake them.
func rouse(u *sys.UFFD, r vm.Run, err error) error {
	if errors.Is(err, ErrNoMapping) {
		g := r.Range()
		err = errors.Join(err, u.Wake(uint64(g.Start), g.Size()))
	}
	return err
}

// put installs pages.
func put(u *sys.UFFD, first vm.Page, pages wire.Pages, shared bool, zero []byte) error {
	for i, like := range pages.Runs {
		at := first + vm.Page(i)
		var err error
		if like.Data == nil {
			err = putZero(u, vm.Run{First: at, N: uint32(like.N)}, shared, zero)
		} else {
			err = putData(u, at, like.Data, shared)
		}
		if err != nil {
			return rouse(u, vm.Run{First: first, N: uint32(pages.Len())}, err)
		}
	}
	return nil
}

// putData installs pages: the first by itself, since somebody waits for it, the
// others by one request where they lie in one mapping.
func putData(u *sys.UFFD, p vm.Page, b []byte, shared bool) error {
	if err := putPage(u, p, b[:vm.PageSize], shared); err != nil {
		return err
	}
	p, b = p+1, b[vm.PageSize:]
	if len(b) == 0 {
		return nil
	}
	err := again(func() error {
		n, err := u.Copy(uint64(p.Addr()), b, shared) // EAGAIN also of a part
		p, b = p+vm.Page(n/vm.PageSize), b[n:]
		return err
	})
	if errors.Is(err, sys.ENOENT) && len(b) > vm.PageSize {
		return putEach(u, p, b, shared)
	}
	if err != nil {
		return fmt.Errorf("install %d pages at %v: %w", len(b)/vm.PageSize, p.Addr(), mapped(err))
	}
	return nil
}

// putEach installs pages that lie in several mappings, or in none.
func putEach(u *sys.UFFD, p vm.Page, b []byte, shared bool) error {
	for ; len(b) > 0; p, b = p+1, b[vm.PageSize:] {
		if err := putPage(u, p, b[:vm.PageSize], shared); err != nil {
			return err
		}
	}
	return nil
}

func putPage(u *sys.UFFD, p vm.Page, b []byte, shared bool) error {
	err := again(func() error { _, err := u.Copy(uint64(p.Addr()), b, shared); return err })
	if err != nil {
		return fmt.Errorf("install page %v: %w", p.Addr(), mapped(err))
	}
	return nil
}

// putZero installs zeros, which the kernel itself cannot write-protect.
func putZero(u *sys.UFFD, r vm.Run, shared bool, zero []byte) error {
	for p := r.First; p < r.End() && shared; p++ {
		if err := putPage(u, p, zero, true); err != nil {
			return rouse(u, r, err)
		}
	}
	if shared {
		return nil
	}
	g := r.Range()
	err := again(func() error {
		done, err := u.ZeroRange(uint64(g.Start), g.Size()) // EAGAIN also of a part
		g.Start += vm.Addr(done)
		return err
	})
	if err != nil {
		return rouse(u, r, fmt.Errorf("install zeros at %v: %w", g, mapped(err)))
	}
	return nil
}

// unprotect makes r writable and wakes.
func unprotect(u *sys.UFFD, r vm.Run) error {
	g := r.Range()
	return rouse(u, r, mapped(u.WriteProtect(uint64(g.Start), g.Size(), false)))
}

// wake makes the kernel's state of page p agree with mode, and wakes who waits
// there in any case: when there is no mapping any more they learn it by faulting.
func wake(u *sys.UFFD, p vm.Page, mode coherence.Mode, zero []byte) error {
	r := vm.Run{First: p, N: 1}
	var err error
	switch mode {
	case coherence.Exclusive:
		if err = putZero(u, r, false, zero); errors.Is(err, sys.EEXIST) {
			return unprotect(u, r)
		}
		return err
	case coherence.Shared:
		if err = putPage(u, p, zero, true); err == nil {
			return nil
		}
	}
	if err == nil || errors.Is(err, sys.EEXIST) || errors.Is(err, ErrNoMapping) {
		err = u.Wake(uint64(p.Addr()), vm.PageSize)
	}
	return err
}
