package job

import (
	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// changesMappings is the calls that addressCall handles.
var changesMappings = map[uint64]bool{
	sys.SYS_MMAP: true, sys.SYS_MUNMAP: true, sys.SYS_MREMAP: true, sys.SYS_MPROTECT: true,
	sys.SYS_PKEY_MPROTECT: true, sys.SYS_BRK: true, sys.SYS_MADVISE: true, sys.SYS_REMAP_FILE_PAGES: true,
}

// addressCall makes a call that changes mappings other nodes may know: they lose
// what it takes away before it returns. done gets the result, or handled false
// when the caller shall just make it.
func (o *origin) addressCall(nr int, args [6]uint64, done func(ret uint64, handled bool)) {
	r := rangeOf(args[0], args[1])
	do := func() uint64 { return o.byButler(nr, args) }
	switch nr {
	case sys.SYS_MUNMAP:
		o.munmap(r, args, do, done)
	case sys.SYS_MADVISE:
		o.advise(r, args, done)
	case sys.SYS_BRK:
		o.brk(args, done)
	case sys.SYS_MMAP:
		o.mmap(args, done)
	case sys.SYS_MPROTECT, sys.SYS_PKEY_MPROTECT:
		o.protect(r, args, do, done)
	case sys.SYS_MREMAP:
		o.mremap(args, do, done)
	default:
		done(0, false)
	}
}

// rangeOf is the whole pages of a call's range; empty when it wraps around.
func rangeOf(start, length uint64) vm.Range {
	end := start + length
	if end < start || end > 1<<47 {
		return vm.Range{}
	}
	return vm.Range{Start: vm.Addr(start).Down(), End: vm.Addr(end).Up()}
}

// runsOf is r in runs short enough for a Run's count.
func runsOf(rs ...vm.Range) []run {
	const most = vm.Addr(1) << 43
	var out []run
	for _, r := range rs {
		for r.Start < r.End {
			end := min(r.End, r.Start+most)
			out = append(out, vm.Range{Start: r.Start, End: end}.Pages())
			r.Start = end
		}
	}
	return out
}

func (o *origin) byButler(nr int, args [6]uint64) uint64 {
	ret, _ := o.proc.ByButler(uint64(nr), args[:]...)
	return ret
}

// changed tells every node, and home's own memory, that the mappings of r are
// no longer what they were.
func (o *origin) changed(r vm.Range) {
	if r.Empty() {
		return
	}
	o.mem.Remapped(r)
	for n, st := range o.nodes {
		st.told.Remove(r)
		if st.joined || len(st.joining) > 0 {
			o.send(n, wire.Header{Type: wire.TUnmap, Addr: uint64(r.Start), ID: uint64(r.End)})
		}
	}
}

// forgetting makes a call that drops the content of r. It must be one that the
// kernel will not refuse: the content is gone before.
func (o *origin) forgetting(r vm.Range, do func() uint64, done func(uint64, bool)) {
	if r.Empty() {
		done(do(), true)
		return
	}
	o.pager.Forget(runsOf(r), func(id uint64) {
		ret := do()
		if !failed(ret) {
			o.changed(r)
		}
		o.loop.post(func() { o.release(id) })
		done(ret, true)
	})
}

// keeping makes a call that moves or restricts memory in rs but keeps its content:
// all of it comes home first.
func (o *origin) keeping(rs []vm.Range, do func() uint64, done func(uint64, bool)) {
	o.pager.Hold(runsOf(rs...), coherence.Write, func(id uint64) {
		ret := do()
		for _, r := range rs {
			o.changed(r)
		}
		o.loop.post(func() { o.release(id) })
		done(ret, true)
	})
}

// release ends a hold, also one of a program that has been replaced meanwhile,
// whose pager is gone and whose number the new one does not know.
func (o *origin) release(id uint64) {
	if o.pager != nil {
		o.pager.Release(id)
	}
}

// Advice that changes what memory holds (linux/mman.h).
const (
	dontNeed       = 4
	free           = 8
	remove         = 9
	dontNeedLocked = 24
	guardInstall   = 102
	guardRemove    = 103
)

func (o *origin) advise(r vm.Range, args [6]uint64, done func(uint64, bool)) {
	switch args[2] {
	case free: // may drop at any time: now
		if len(o.proc.FileRanges(r)) > 0 {
			done(errno(sys.EINVAL), true) // it is for anonymous memory only
			return
		}
		args[2] = dontNeed
	case dontNeed, dontNeedLocked, remove, guardInstall, guardRemove:
	default:
		done(0, false)
		return
	}
	do := func() uint64 { return o.drop(r, args) }
	switch {
	case r.Empty(), !aligned(args[0]):
		done(do(), true)
	case args[2] == remove, args[2] == guardRemove, o.proc.Locks():
		// It may be refused, or leaves what is no guard region as it is.
		o.held1(r, do, done)
	default:
		o.forgettingContent(r, do, done)
	}
}

// held1 makes a call that may drop the content of r, or may not, and leaves the
// mappings as they are.
func (o *origin) held1(r vm.Range, do func() uint64, done func(uint64, bool)) {
	o.pager.Hold(runsOf(r), coherence.Write, func(id uint64) {
		ret := do()
		o.loop.post(func() { o.release(id) })
		done(ret, true)
	})
}

func aligned(a uint64) bool { return a%vm.PageSize == 0 }

// failed tells whether ret is an error of a system call.
func failed(ret uint64) bool { return ret > ^uint64(4095) }

// errno is e as a system call returns it.
func errno(e sys.Errno) uint64 { return -uint64(e) }

func (o *origin) munmap(r vm.Range, args [6]uint64, do func() uint64, done func(uint64, bool)) {
	if r.Empty() || !aligned(args[0]) {
		done(do(), true)
		return
	}
	o.forgetting(r, func() uint64 {
		ret := do()
		if !failed(ret) {
			o.proc.ForgetFiles(r)
		}
		return ret
	}, done)
}

// drop makes an madvise that drops the content of r. What was a file's has its
// content again, and at no moment any other.
func (o *origin) drop(r vm.Range, args [6]uint64) (ret uint64) {
	var refilled vm.Set
	if aligned(args[0]) && (args[2] == dontNeed || args[2] == dontNeedLocked) {
		for _, f := range o.proc.FileRanges(r) {
			if err := o.proc.Refill(f); err != nil {
				o.logf("drop content of file mapping: %v", err)
				continue
			}
			o.mem.Remapped(f)
			refilled.Insert(vm.Mapping{Range: f})
		}
	}
	if len(refilled.All()) == 0 {
		return o.byButler(sys.SYS_MADVISE, args)
	}
	for _, g := range refilled.Gaps(r) {
		args[0], args[1] = uint64(g.Start), g.Size()
		if e := o.byButler(sys.SYS_MADVISE, args); e != 0 {
			ret = e
		}
	}
	return ret
}

// forgettingContent is forgetting for a call that leaves the mappings as they are.
func (o *origin) forgettingContent(r vm.Range, do func() uint64, done func(uint64, bool)) {
	o.pager.Forget(runsOf(r), func(id uint64) {
		ret := do()
		o.loop.post(func() { o.release(id) })
		done(ret, true)
	})
}

func (o *origin) brk(args [6]uint64, done func(uint64, bool)) {
	now := o.byButler(sys.SYS_BRK, [6]uint64{})
	do := func() uint64 { return o.byButler(sys.SYS_BRK, args) }
	if args[0] == 0 || args[0] >= now {
		done(do(), true)
		return
	}
	r := vm.Range{Start: vm.Addr(args[0]).Up(), End: vm.Addr(now).Up()}
	if m, ok, err := o.proc.MappingAt(r.Start); err != nil || !ok || m.Name != "[heap]" {
		// Below the heap's start it is refused; the heap may have holes, too.
		o.keeping([]vm.Range{o.heap(r)}, do, done)
		return
	}
	o.forgetting(r, do, done)
}

// heap is the part of r from the first mapping of the heap on.
func (o *origin) heap(r vm.Range) vm.Range {
	ms, err := o.proc.Mappings()
	if err != nil {
		return vm.Range{}
	}
	for _, m := range ms {
		if m.Name == "[heap]" && m.Start > r.Start {
			r.Start = m.Start
			break
		}
	}
	return r
}

// mmap handles a mapping at a fixed address, or of a file that may be written.
func (o *origin) mmap(args [6]uint64, done func(uint64, bool)) {
	do := func() uint64 { return o.mapped(args) }
	r := rangeOf(args[0], args[1])
	if args[3]&sys.MAP_FIXED == 0 || r.Empty() || !aligned(args[0]) {
		done(do(), true)
		return
	}
	if ret := o.tryMapping(args); failed(ret) {
		done(ret, true)
		return
	}
	o.forgetting(r, do, done)
}

// mapped makes an mmap and what follows from it.
func (o *origin) mapped(args [6]uint64) uint64 {
	var droppable bool
	args[3], droppable = guest.DropsNothing(args[3])
	ret := o.byButler(sys.SYS_MMAP, args)
	if failed(ret) {
		return ret
	}
	r := rangeOf(ret, args[1])
	if droppable {
		if err := o.proc.WipeOnFork(r); err != nil {
			o.logf("wipe droppable memory on fork: %v", err)
		}
	}
	o.proc.ForgetFiles(r)
	if args[2]&sys.PROT_WRITE != 0 && args[3]&(sys.MAP_SHARED|sys.MAP_ANONYMOUS) == 0 {
		if err := o.proc.Anonymize(r); err != nil {
			o.logf("make file mapping anonymous: %v", err)
		}
	}
	return ret
}

// tryMapping finds out at another address whether a mapping will be refused,
// unless it is plain memory.
func (o *origin) tryMapping(args [6]uint64) uint64 {
	const (
		private   = 2
		kind      = 0x40000 | sys.MAP_ANONYMOUS | 3 // and MAP_HUGETLB
		atOnce    = 0x8000 | 0x2000                 // MAP_POPULATE, MAP_LOCKED
		exactness = sys.MAP_FIXED | 0x100000        // and MAP_FIXED_NOREPLACE
	)
	if args[3]&kind == sys.MAP_ANONYMOUS|private {
		return 0
	}
	args[0] = 0
	args[3] &^= exactness | atOnce
	ret := o.byButler(sys.SYS_MMAP, args)
	if failed(ret) {
		return ret
	}
	return o.byButler(sys.SYS_MUNMAP, [6]uint64{ret, args[1]})
}

func (o *origin) protect(r vm.Range, args [6]uint64, do func() uint64, done func(uint64, bool)) {
	only, writable := o.addsRights(r, vm.Prot(args[2]&7))
	if r.Empty() || only && !writable {
		done(do(), true)
		return
	}
	o.keeping([]vm.Range{r}, func() uint64 {
		if writable { // before anybody may write
			if err := o.proc.AnonymizeFiles(r); err != nil {
				o.logf("make file mapping anonymous: %v", err)
			}
		}
		return do()
	}, done)
}

// addsRights tells whether prot takes nothing away from the mappings of r, and
// whether it makes a private file mapping writable.
func (o *origin) addsRights(r vm.Range, prot vm.Prot) (only, writable bool) {
	only = true
	for at := r.Start; at < r.End; {
		m, ok, err := o.proc.MappingAt(at)
		if err != nil || !ok {
			return only, writable
		}
		if m.Prot&^prot != 0 {
			only = false
		}
		if prot&vm.ProtWrite != 0 && m.Kind == vm.Immutable {
			writable = true
		}
		at = m.End
	}
	return only, writable
}
