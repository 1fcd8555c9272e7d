package image

import (
	"encoding/json"
	"fmt"
)

// Types of notes: the kernel's (linux/elf.h), and ours under the name POPCORN.
const (
	ntPrstatus = 1
	ntFPRegs   = 2
	ntPrpsinfo = 3
	ntAuxv     = 6
	ntFile     = 0x46494c45
	ntSiginfo  = 0x53494749

	ourName     = "POPCORN"
	ourProcess  = 1
	ourThread   = 2
	ourSegments = 3
	ourSums     = 4
	ourSeal     = 5 // last: checksum of the head, length of the file
)

// Sizes and types of ELF (elf(5)).
const (
	ehdrSize = 64
	phdrSize = 56
	etCore   = 4
	ptLoad   = 1
	ptNote   = 4
	// ptBlob is for blobs: of the range that is the operating system's own.
	ptBlob = 0x6f706f70
	// maxSegments: one header more is that of the notes, and 0xffff is special.
	maxSegments = 0xfffe - 1
	sealSize    = 16
)

// Place decides where in the file everything goes, and returns the file's
// length. Segments have their sizes by now, and get their offsets; their Sums are
// to be filled in before Encode.
func (im *Image) Place() (size uint64, err error) {
	if len(im.Segments) > maxSegments {
		return 0, fmt.Errorf("place image: %d pieces of memory, at most %d", len(im.Segments), maxSegments)
	}
	im.place(0) // its sums take the room they will
	notes, err := im.notes()
	if err != nil {
		return 0, err
	}
	return im.place(uint64(im.notesAt() + len(notes))), nil
}

func (im *Image) notesAt() int { return ehdrSize + phdrSize*(len(im.Segments)+1) }

// Encode is the head of the file: everything before the first segment. Place
// went before.
func (im *Image) Encode() ([]byte, error) {
	notes, err := im.notes()
	if err != nil {
		return nil, err
	}
	at := im.notesAt()
	head := make([]byte, up(uint64(at+len(notes))))
	copy(head, []byte{0x7f, 'E', 'L', 'F', 2, 1, 1})
	le.PutUint16(head[16:], etCore)
	le.PutUint16(head[18:], machine)
	le.PutUint32(head[20:], 1)
	le.PutUint64(head[32:], ehdrSize) // of the program headers
	le.PutUint16(head[52:], ehdrSize)
	le.PutUint16(head[54:], phdrSize)
	le.PutUint16(head[56:], uint16(len(im.Segments)+1))
	putHeader(head[ehdrSize:], ptNote, 0, uint64(at), 0, uint64(len(notes)), 0, 4)
	for i, s := range im.Segments {
		typ := uint32(ptLoad)
		if s.Blob {
			typ = ptBlob
		}
		putHeader(head[ehdrSize+phdrSize*(i+1):], typ, elfFlags(s.Prot), s.Off, s.Start, s.Filesz, s.Memsz, pageSize)
	}
	copy(head[at:], notes)
	im.seal(head, at+len(notes))
	return head, nil
}

// seal fills in the last note, whose end is at.
func (im *Image) seal(head []byte, at int) {
	seal := head[at-sealSize : at]
	le.PutUint64(seal[8:], im.end(len(head)))
	le.PutUint32(seal[4:], uint32(len(head)))
	le.PutUint32(seal, Sum(head))
}

// end is the length of the file.
func (im *Image) end(head int) uint64 {
	if n := len(im.Segments); n > 0 {
		return im.Segments[n-1].Off + up(im.Segments[n-1].Filesz)
	}
	return uint64(head)
}

func putHeader(b []byte, typ, flags uint32, off, vaddr, filesz, memsz, align uint64) {
	le.PutUint32(b, typ)
	le.PutUint32(b[4:], flags)
	for i, v := range []uint64{off, vaddr, 0, filesz, memsz, align} {
		le.PutUint64(b[8+8*i:], v)
	}
}

// elfFlags turns PROT_ bits (read 1, write 2, execute 4) into PF_ bits.
func elfFlags(prot uint64) uint32 {
	return uint32(prot&1<<2 | prot&2 | prot&4>>2)
}

// appendNote adds a note; names and contents are padded to four bytes.
func appendNote(b []byte, name string, typ uint32, desc []byte) []byte {
	b = le.AppendUint32(b, uint32(len(name)+1))
	b = le.AppendUint32(b, uint32(len(desc)))
	b = le.AppendUint32(b, typ)
	b = pad(append(append(b, name...), 0))
	return pad(append(b, desc...))
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// notes is all of them, in the order in which the kernel writes its own: what
// is before a thread's first registers belongs to none.
func (im *Image) notes() ([]byte, error) {
	var b []byte
	for i := range im.Threads {
		t := &im.Threads[i]
		b = appendNote(b, "CORE", ntPrstatus, im.prstatus(t))
		if i == 0 {
			b = appendNote(b, "CORE", ntPrpsinfo, im.prpsinfo())
			b = appendNote(b, "CORE", ntAuxv, im.Process.Auxv)
			b = appendNote(b, "CORE", ntFile, im.files())
		}
		if len(t.Pending) > 0 {
			b = appendNote(b, "CORE", ntSiginfo, t.Pending[0])
		}
		if len(t.XState) >= legacyState {
			b = appendNote(b, "CORE", ntFPRegs, t.XState[:legacyState])
			b = appendNote(b, "LINUX", ntXState, t.XState)
		}
	}
	own, err := im.ourNotes()
	return append(b, own...), err
}

func (im *Image) ourNotes() ([]byte, error) {
	im.Process.Version = Version
	doc, err := json.Marshal(&im.Process)
	if err != nil {
		return nil, fmt.Errorf("encode process: %w", err)
	}
	b := appendNote(nil, ourName, ourProcess, doc)
	for i := range im.Threads {
		if doc, err = json.Marshal(&im.Threads[i]); err != nil {
			return nil, fmt.Errorf("encode thread %d: %w", im.Threads[i].TID, err)
		}
		b = appendNote(b, ourName, ourThread, append(le.AppendUint32(nil, uint32(len(im.Threads[i].XState))), doc...))
	}
	b = appendNote(b, ourName, ourSegments, im.shown())
	b = appendNote(b, ourName, ourSums, im.sums())
	return appendNote(b, ourName, ourSeal, make([]byte, sealSize)), nil
}

// shown is a byte for each segment: whether it is for debuggers only.
func (im *Image) shown() []byte {
	b := make([]byte, len(im.Segments))
	for i, s := range im.Segments {
		if s.Shown {
			b[i] = 1
		}
	}
	return b
}

func (im *Image) sums() []byte {
	var b []byte
	for _, s := range im.Segments {
		for _, sum := range s.Sums {
			b = le.AppendUint32(b, sum)
		}
	}
	return b
}
