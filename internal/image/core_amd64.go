package image

import (
	"encoding/binary"
	"strings"
)

// What the kernel's own core files of this architecture look like: fs/binfmt_elf.c,
// linux/elfcore.h, asm/user_64.h.

const (
	machine = 62 // EM_X86_64
	// legacyState is the part of the XSAVE area that is FXSAVE's, which
	// NT_FPREGSET holds.
	legacyState = 512
	ntXState    = 0x202
)

var le = binary.LittleEndian

// prstatus is struct elf_prstatus of a thread.
func (im *Image) prstatus(t *Thread) []byte {
	b := make([]byte, 336)
	p := &im.Process
	le.PutUint64(b[24:], t.Mask)
	for i, v := range []int{t.TID, p.PPID, p.PGID, p.SID} {
		le.PutUint32(b[32+4*i:], uint32(v))
	}
	for i, r := range t.Regs {
		le.PutUint64(b[112+8*i:], r)
	}
	if len(t.XState) >= legacyState {
		le.PutUint32(b[328:], 1)
	}
	return b
}

// prpsinfo is struct elf_prpsinfo.
func (im *Image) prpsinfo() []byte {
	b := make([]byte, 136)
	p := &im.Process
	b[1], b[3] = 'S', byte(p.Nice)
	le.PutUint32(b[16:], uint32(p.UIDs[0]))
	le.PutUint32(b[20:], uint32(p.GIDs[0]))
	for i, v := range []int{p.PID, p.PPID, p.PGID, p.SID} {
		le.PutUint32(b[24+4*i:], uint32(v))
	}
	copy(b[40:55], p.Name)
	copy(b[56:135], strings.Join(p.Argv, " "))
	return b
}

// files is the note NT_FILE: which file is mapped where.
func (im *Image) files() []byte {
	var ranges, names []byte
	count := uint64(0)
	for _, m := range im.Process.Mappings {
		if m.File == nil {
			continue
		}
		count++
		for _, v := range []uint64{m.Start, m.End, m.Offset / pageSize} {
			ranges = le.AppendUint64(ranges, v)
		}
		names = append(append(names, m.File.Path...), 0)
	}
	b := le.AppendUint64(nil, count)
	b = le.AppendUint64(b, pageSize)
	return append(append(b, ranges...), names...)
}
