package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

const vdsoName = "[vdso]"

// maxVDSO bounds the image; the largest of a kernel so far is 8 KiB.
const maxVDSO = 64 << 10

// VDSO reads the image of the vDSO, which the kernel gives every program, and
// where it is. A program without one has none of either.
func (p *Process) VDSO() ([]byte, vm.Range, error) {
	ms, err := p.Mappings()
	if err != nil {
		return nil, vm.Range{}, err
	}
	i := slices.IndexFunc(ms, func(m vm.Mapping) bool { return m.Name == vdsoName })
	if i < 0 {
		return nil, vm.Range{}, nil
	}
	image := make([]byte, ms[i].Size())
	if err := p.Read(ms[i].Start, image); err != nil {
		return nil, vm.Range{}, fmt.Errorf("read vDSO: %w", err)
	}
	return image, ms[i].Range, nil
}

// vdsoCalls is where the functions of a vDSO go that make a system call.
var vdsoCalls = map[string]uint64{
	"clock_gettime": label(offVdsoClockGettime),
	"clock_getres":  label(offVdsoClockGetres),
	"gettimeofday":  label(offVdsoGettimeofday),
	"time":          label(offVdsoTime),
	"getcpu":        label(offVdsoGetcpu),
	"getrandom":     label(offVdsoGetrandom),
}

// PatchVDSO is the vDSO image as a node can have it whose kernel is another: the
// functions there would read clocks from the pages of a kernel they do not
// belong to. Each one's first instruction becomes a jump to the agent, which
// makes the system call. It is one instruction, so that a thread stands either
// before the function, which is as good at home, or in the agent, which is
// everywhere. A function without a call raises SIGILL and so runs at home.
func PatchVDSO(image []byte) ([]byte, error) {
	entries, err := vdsoEntries(image)
	if err != nil {
		return nil, fmt.Errorf("patch vDSO: %w", err)
	}
	out := bytes.Clone(image)
	for _, e := range entries {
		copy(out[e.at:], e.code())
	}
	return out, nil
}

// entry is a function of a vDSO: where in the image, how long, and the address
// of what stands in for it, 0 for nothing.
type entry struct {
	at, size int
	call     uint64
}

// Instructions that replace the beginning of a function.
var (
	jumpFar = []byte{0xff, 0x25, 0, 0, 0, 0} // jmp [rip+0]: to the address behind it
	undef   = []byte{0x0f, 0x0b}             // ud2
)

func (e entry) code() []byte {
	if e.call == 0 || e.size < len(jumpFar)+8 {
		return undef
	}
	return binary.LittleEndian.AppendUint64(bytes.Clone(jumpFar), e.call)
}

// vdsoEntries finds all functions that an image offers, by ascending address.
func vdsoEntries(image []byte) ([]entry, error) {
	if len(image) == 0 || len(image) > maxVDSO || len(image)%vm.PageSize != 0 {
		return nil, fmt.Errorf("image of %d bytes: %w", len(image), sys.EINVAL)
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_DYN {
		return nil, fmt.Errorf("%v of %v for %v: %w", f.Type, f.Class, f.Machine, sys.ENOEXEC)
	}
	code, err := loaded(f)
	if err != nil {
		return nil, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Section == elf.SHN_UNDEF {
			continue
		}
		e, err := code.entry(s, len(image))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return apart(entries)
}

// segment is the part of the image that the kernel maps executable.
type segment struct{ elf.ProgHeader }

// loaded is the only segment of f to be loaded. The image in memory is the
// file, so that addresses differ from offsets by what they do at its start.
func loaded(f *elf.File) (segment, error) {
	var found []segment
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			found = append(found, segment{p.ProgHeader})
		}
	}
	if len(found) != 1 || found[0].Flags&elf.PF_X == 0 {
		return segment{}, fmt.Errorf("%d segments to load, one of code expected: %w", len(found), sys.ENOEXEC)
	}
	return found[0], nil
}

func (p segment) entry(s elf.Symbol, size int) (entry, error) {
	at := s.Value - p.Vaddr // wraps around for one below, and is then too large
	n := min(s.Size, uint64(size))
	if at >= p.Filesz || n > p.Filesz-at || p.Off > uint64(size) || at+n > uint64(size)-p.Off || n < uint64(len(undef)) {
		return entry{}, fmt.Errorf("function %q at %#x with %d bytes: %w", s.Name, s.Value, s.Size, sys.ENOEXEC)
	}
	return entry{int(at + p.Off), int(n), vdsoCalls[strings.TrimPrefix(s.Name, "__vdso_")]}, nil
}

// apart sorts entries and makes one of those with several names. Functions must
// not overlap: one's new beginning would be another's middle.
func apart(entries []entry) ([]entry, error) {
	slices.SortFunc(entries, func(a, b entry) int { return a.at - b.at })
	entries = slices.Compact(entries)
	for i := 1; i < len(entries); i++ {
		if prev := entries[i-1]; prev.at+prev.size > entries[i].at {
			return nil, fmt.Errorf("functions at %#x and %#x overlap: %w", prev.at, entries[i].at, sys.ENOEXEC)
		}
	}
	return entries, nil
}

// placeVDSO maps a patched image at the origin's address, where the guest can
// neither write it nor (under its filter) change that.
func (p *Process) placeVDSO(image []byte, at vm.Range) error {
	if uint64(len(image)) != at.Size() || at.Start < Lowest || at.End > highest || at.Overlaps(AgentRange()) {
		return fmt.Errorf("place vDSO of %d bytes at %v: %w", len(image), at, sys.EINVAL)
	}
	patched, err := PatchVDSO(image)
	if err != nil {
		return err
	}
	const flags = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_FIXED_NOREPLACE
	if _, err := p.Call(p.PID, sys.SYS_MMAP, uint64(at.Start), at.Size(), sys.PROT_READ|sys.PROT_EXEC,
		flags, ^uint64(0), 0); err != nil {
		return fmt.Errorf("map vDSO: %w", err)
	}
	return p.Write(at.Start, patched)
}
