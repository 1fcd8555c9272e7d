package guest

import (
	"errors"
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// AnonymizeAll makes every writable private file mapping anonymous, so that it
// can be put under userfaultfd, which takes no private file mappings. Threads of
// the program must be stopped.
func (p *Process) AnonymizeAll() error {
	writable := func(m vm.Mapping, _ sys.VMA) bool { return m.Kind == vm.WritableFile }
	return p.anonymizeIn(vm.Range{End: 1 << 47}, true, writable)
}

// Anonymize does so for the mappings in r, which nobody may write meanwhile.
func (p *Process) Anonymize(r vm.Range) error {
	writable := func(m vm.Mapping, _ sys.VMA) bool { return m.Kind == vm.WritableFile }
	return p.anonymizeIn(r, false, writable)
}

// AnonymizeFiles does so for those that cannot be written yet.
func (p *Process) AnonymizeFiles(r vm.Range) error {
	private := func(m vm.Mapping, v sys.VMA) bool { return m.Kind == vm.Immutable && !v.Shared }
	return p.anonymizeIn(r, false, private)
}

func (p *Process) anonymizeIn(r vm.Range, stopped bool, want func(vm.Mapping, sys.VMA) bool) error {
	vmas, err := p.vmas()
	if err != nil {
		return err
	}
	for _, v := range vmas {
		m := classify(v)
		wanted := want(m, v)
		m.Range = m.Range.Intersect(r)
		if !wanted || m.Empty() {
			continue
		}
		if err := p.anonymize(m, stopped); err != nil {
			return fmt.Errorf("make %s at %v anonymous: %w", m.Name, m.Range, err)
		}
	}
	return nil
}

// anonymize builds a copy aside and moves it over the mapping in one call.
func (p *Process) anonymize(m vm.Mapping, stopped bool) error {
	if err := p.stage(m.Range, m.Start); err != nil {
		return err
	}
	if stopped || !p.changed(m.Range) {
		p.keepFile(m.Range)
	}
	return p.unstage(m.Range, m.Prot)
}

// stage makes anonymous memory for r at the stage and fills it from address from.
func (p *Process) stage(r vm.Range, from vm.Addr) error {
	return p.stageAs(r, from, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_FIXED|sys.MAP_NORESERVE)
}

// stageAs is stage with the flags of the mapping.
func (p *Process) stageAs(r vm.Range, from vm.Addr, flags uint64) error {
	if r.Size() > uint64(filesBase-StageBase) {
		return fmt.Errorf("copy %d bytes: %w", r.Size(), sys.ENOMEM)
	}
	if _, err := p.ByButler(sys.SYS_MMAP, uint64(StageBase), r.Size(), sys.PROT_READ|sys.PROT_WRITE,
		flags, ^uint64(0), 0); err != nil {
		return err
	}
	if err := p.copyAside(vm.Range{Start: from, End: from + vm.Addr(r.Size())}); err != nil {
		p.ByButler(sys.SYS_MUNMAP, uint64(StageBase), r.Size())
		return err
	}
	return nil
}

// unstage moves what was staged over r, whatever is there, in one call.
func (p *Process) unstage(r vm.Range, prot vm.Prot) error {
	if _, err := p.ByButler(sys.SYS_MPROTECT, uint64(StageBase), r.Size(), KernelProt(prot)); err != nil {
		return err
	}
	_, err := p.ByButler(sys.SYS_MREMAP, uint64(StageBase), r.Size(), r.Size(), mayMove|moveFixed, uint64(r.Start))
	return err
}

// Flags of mremap (linux/mman.h).
const (
	mayMove   = 1
	moveFixed = 2
	dontUnmap = 4
)

// copyAside copies r to the stage. Pages behind the end of the file have none.
func (p *Process) copyAside(r vm.Range) error {
	buf := make([]byte, 1<<20)
	for at := r.Start; at < r.End; {
		n := vm.Addr(min(uint64(r.End-at), uint64(len(buf))))
		err := p.Read(at, buf[:n])
		if errors.Is(err, sys.EIO) && n > vm.PageSize {
			buf = buf[:vm.PageSize]
			continue
		}
		if err == nil {
			err = p.Write(StageBase+(at-r.Start), buf[:n])
		}
		if err != nil && !errors.Is(err, sys.EIO) {
			return err
		}
		at += n
	}
	return nil
}

// TidAddress is where the kernel clears the id of the stopped thread tid when
// it exits; 0 none (prctl(2), PR_GET_TID_ADDRESS).
func (p *Process) TidAddress(tid int) (vm.Addr, error) {
	const getTidAddress = 40
	scratch := MaxSlots - 1
	if _, err := p.Call(tid, sys.SYS_PRCTL, getTidAddress, uint64(SlotAddr(scratch))); err != nil {
		return 0, err
	}
	return vm.Addr(le64(p.Slots.mem[scratch*slotSize:])), nil
}

// DropRseq ends the registration c of restartable sequences of the stopped
// thread tid: the kernel would write its CPU number into memory that is away.
// The memory of the registration must be present.
func (p *Process) DropRseq(tid int, c sys.RseqConfig) error {
	const unregister = 1
	_, err := p.Call(tid, sys.SYS_RSEQ, c.Ptr, uint64(c.Size), unregister, uint64(c.Signature))
	return err
}

// Forget drops what belongs to the program that an exec has replaced.
func (p *Process) Forget() {
	p.dropSlots()
	p.files, p.droppables = files{}, nil
	p.Butler, p.Holder = 0, 0
}

// Ignore makes the program, still in its stub, find the signals of mask ignored.
func (p *Process) Ignore(mask uint64) error {
	if mask == 0 {
		return nil
	}
	scratch, err := p.stackScratch(p.PID)
	if err != nil {
		return err
	}
	action := make([]byte, 32) // struct kernel_sigaction
	action[0] = 1              // SIG_IGN
	if err := p.Write(vm.Addr(scratch), action); err != nil {
		return err
	}
	for sig := uint64(1); sig <= 64; sig++ {
		if mask>>(sig-1)&1 == 0 {
			continue
		}
		if _, err := p.Call(p.PID, sys.SYS_RT_SIGACTION, sig, scratch, 0, 8); err != nil {
			return fmt.Errorf("ignore signal %d: %w", sig, err)
		}
	}
	return nil
}
