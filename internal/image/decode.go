package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Errors of Decode, each wrapped with what was found.
var (
	// ErrForeign: no checkpoint at all.
	ErrForeign = errors.New("not a checkpoint of popcorn")
	// ErrNewer: written by a popcorn that can do more.
	ErrNewer = errors.New("written in a newer format")
	// ErrDamaged: cut short or changed since it was written.
	ErrDamaged = errors.New("damaged")
)

// maxHead bounds the head of an image, in bytes.
const maxHead = 1 << 30

// Decode reads the head of a file of size bytes, which read gives the parts of,
// and checks it. The segments' bytes are to be checked against their Sums.
func Decode(size uint64, read func(b []byte, off int64) error) (*Image, error) {
	h, err := readHead(size, read)
	if err != nil {
		return nil, err
	}
	notes, err := parseNotes(h.notes())
	if err != nil {
		return nil, err
	}
	im := &Image{}
	if err := im.decodeProcess(notes); err != nil {
		return nil, err
	}
	// The version has been seen: what follows is as this package writes it.
	if err := h.checkSeal(notes, size); err != nil {
		return nil, err
	}
	if err := im.decodeThreads(notes); err != nil {
		return nil, err
	}
	return im, im.decodeSegments(h, notes, size)
}

// head is the raw beginning of a file.
type head struct {
	b       []byte
	count   int
	at, end int // the notes
}

func (h *head) notes() []byte { return h.b[h.at:h.end] }

func readHead(size uint64, read func(b []byte, off int64) error) (*head, error) {
	first := make([]byte, ehdrSize+phdrSize)
	if size < uint64(len(first)) {
		return nil, fmt.Errorf("file of %d bytes: %w", size, ErrForeign)
	}
	if err := read(first, 0); err != nil {
		return nil, err
	}
	count := int(le.Uint16(first[56:]))
	note := first[ehdrSize:]
	at, n := le.Uint64(note[8:]), le.Uint64(note[32:])
	switch {
	case !bytes.Equal(first[:7], []byte{0x7f, 'E', 'L', 'F', 2, 1, 1}), le.Uint16(first[16:]) != etCore,
		le.Uint16(first[18:]) != machine:
		return nil, fmt.Errorf("no 64-bit core file of this instruction set: %w", ErrForeign)
	case le.Uint64(first[32:]) != ehdrSize, le.Uint16(first[54:]) != phdrSize, count == 0,
		le.Uint32(note) != ptNote, at != uint64(ehdrSize+phdrSize*count):
		return nil, fmt.Errorf("a core file that popcorn did not write: %w", ErrForeign)
	case n > maxHead || up(at+n) > size:
		return nil, fmt.Errorf("its head of %d bytes does not fit in %d: %w", n, size, ErrDamaged)
	}
	h := &head{make([]byte, up(at+n)), count, int(at), int(at + n)}
	return h, read(h.b, 0)
}

// note is one of ours.
type note struct {
	typ  uint32
	desc []byte
	end  int // in the notes
}

// parseNotes returns our notes, and the threads' extended states in order.
func parseNotes(b []byte) (out []note, err error) {
	damaged := fmt.Errorf("its notes: %w", ErrDamaged)
	for at := 0; at < len(b); {
		if len(b)-at < 12 {
			return nil, damaged
		}
		nameLen, descLen := int(le.Uint32(b[at:])), int(le.Uint32(b[at+4:]))
		typ := le.Uint32(b[at+8:])
		if nameLen > len(b) || descLen > len(b) {
			return nil, damaged
		}
		nameAt := at + 12
		descAt := nameAt + (nameLen+3)&^3
		at = descAt + (descLen+3)&^3
		if nameLen == 0 || at > len(b) {
			return nil, damaged
		}
		name := string(b[nameAt : nameAt+nameLen-1])
		if name == ourName || name == "LINUX" && typ == ntXState {
			out = append(out, note{typ, b[descAt : descAt+descLen], at})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("a core file without popcorn's notes: %w", ErrForeign)
	}
	return out, nil
}

func (im *Image) decodeProcess(notes []note) error {
	for _, n := range notes {
		if n.typ != ourProcess {
			continue
		}
		var v struct{ Version int }
		if err := json.Unmarshal(n.desc, &v); err != nil {
			return fmt.Errorf("its process (%v): %w", err, ErrDamaged)
		}
		if v.Version > Version {
			return fmt.Errorf("version %d, this popcorn reads up to %d: %w", v.Version, Version, ErrNewer)
		}
		if err := json.Unmarshal(n.desc, &im.Process); err != nil {
			return fmt.Errorf("its process (%v): %w", err, ErrDamaged)
		}
		return nil
	}
	return fmt.Errorf("no note of the process: %w", ErrDamaged)
}

func (h *head) checkSeal(notes []note, size uint64) error {
	last := notes[len(notes)-1]
	if last.typ != ourSeal || len(last.desc) != sealSize || last.end != h.end-h.at {
		return fmt.Errorf("its seal is not there: %w", ErrDamaged)
	}
	sum, n := le.Uint32(last.desc), le.Uint32(last.desc[4:])
	b := bytes.Clone(h.b)
	le.PutUint32(b[h.end-sealSize:], 0)
	if got := Sum(b); got != sum || int(n) != len(h.b) {
		return fmt.Errorf("the checksum of its head is %08x, not %08x: %w", got, sum, ErrDamaged)
	}
	if end := le.Uint64(last.desc[8:]); end != size {
		return fmt.Errorf("it has %d bytes, not %d: %w", size, end, ErrDamaged)
	}
	return nil
}

func (im *Image) decodeThreads(notes []note) error {
	var states [][]byte
	for _, n := range notes {
		if n.typ == ntXState {
			states = append(states, n.desc)
		}
	}
	for _, n := range notes {
		if n.typ != ourThread {
			continue
		}
		var t Thread
		if len(n.desc) < 4 {
			return fmt.Errorf("a thread: %w", ErrDamaged)
		}
		if err := json.Unmarshal(n.desc[4:], &t); err != nil {
			return fmt.Errorf("a thread (%v): %w", err, ErrDamaged)
		}
		if le.Uint32(n.desc) >= legacyState {
			if len(states) == 0 {
				return fmt.Errorf("registers of thread %d: %w", t.TID, ErrDamaged)
			}
			t.XState, states = bytes.Clone(states[0]), states[1:]
		}
		im.Threads = append(im.Threads, t)
	}
	if len(im.Threads) == 0 || im.Threads[0].TID != im.Process.PID {
		return fmt.Errorf("its first thread is not there: %w", ErrDamaged)
	}
	return nil
}

func (im *Image) decodeSegments(h *head, notes []note, size uint64) error {
	var shown, sums []byte
	for _, n := range notes {
		switch n.typ {
		case ourSegments:
			shown = n.desc
		case ourSums:
			sums = n.desc
		}
	}
	if len(shown) != h.count-1 {
		return fmt.Errorf("its table of segments: %w", ErrDamaged)
	}
	for i := range h.count - 1 {
		s, err := h.segment(i, size)
		if err != nil {
			return err
		}
		s.Shown = shown[i] != 0
		for range Blocks(up(s.Filesz)) {
			if len(sums) < 4 {
				return fmt.Errorf("its checksums: %w", ErrDamaged)
			}
			s.Sums, sums = append(s.Sums, le.Uint32(sums)), sums[4:]
		}
		im.Segments = append(im.Segments, s)
	}
	return nil
}

func (h *head) segment(i int, size uint64) (Segment, error) {
	b := h.b[ehdrSize+phdrSize*(i+1):]
	flags := uint64(le.Uint32(b[4:]))
	s := Segment{Off: le.Uint64(b[8:]), Start: le.Uint64(b[16:]), Filesz: le.Uint64(b[32:]), Memsz: le.Uint64(b[40:]),
		Prot: flags>>2&1 | flags&2 | flags&1<<2, Blob: le.Uint32(b) == ptBlob}
	if s.Off > size || s.Filesz > size-s.Off {
		return s, fmt.Errorf("segment %d lies behind its end: %w", i, ErrDamaged)
	}
	return s, nil
}
