package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// sample is an image with something of everything, and its file.
func sample(t *testing.T) (*Image, []byte) {
	t.Helper()
	im := &Image{
		Process: Process{PID: 4711, PPID: 7, Name: "name", Argv: []string{"name", "argument"}, Auxv: make([]byte, 320),
			CPU: []byte("{}"), Pending: [][]byte{make([]byte, 128)},
			Mappings: []Mapping{{Start: 0x400000, End: 0x402000, Prot: 5, Kind: OfFile, File: &File{Path: "/bin/name", Size: 3}},
				{Start: 0x7000000, End: 0x7400000, Prot: 3, Kind: Anonymous, Guards: []Range{{0x7000000, 0x7001000}}}},
			Files: []Open{{Type: EventFD, Count: 5}, {Type: PipeRead, Blob: 1}}, FDs: []Descriptor{{FD: 3, File: 1, CloExec: true}}},
		Threads: []Thread{{TID: 4711, Comm: "first", Mask: 1 << 9, XState: bytes.Repeat([]byte{1}, 832), AltStack: []byte{}},
			{TID: 4712, Comm: "second", XState: bytes.Repeat([]byte{2}, 832), Pending: [][]byte{make([]byte, 128)}}},
		Segments: []Segment{{Start: 0x400000, Filesz: 4096, Memsz: 4096, Prot: 5, Shown: true},
			{Start: 0x7001000, Filesz: BlockSize + 4096, Memsz: BlockSize + 4096, Prot: 3}, {Filesz: 100, Blob: true}},
	}
	im.Threads[0].Regs[16] = 0x400123 // rip
	size, err := im.Place()
	if err != nil {
		t.Fatal(err)
	}
	file := make([]byte, size)
	for i := range im.Segments {
		s := &im.Segments[i]
		b := file[s.Off : s.Off+up(s.Filesz)]
		for k := range b[:s.Filesz] {
			b[k] = byte(k * (i + 3))
		}
		for k := range s.Sums {
			s.Sums[k] = Sum(b[k*BlockSize : min((k+1)*BlockSize, len(b))])
		}
	}
	head, err := im.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(head)) != im.Segments[0].Off {
		t.Fatalf("head of %d bytes, first segment at %d", len(head), im.Segments[0].Off)
	}
	copy(file, head)
	return im, file
}

func decode(file []byte) (*Image, error) {
	return Decode(uint64(len(file)), func(b []byte, off int64) error {
		copy(b, file[off:])
		return nil
	})
}

// intact decodes a file and checks all its blocks.
func intact(file []byte) error {
	im, err := decode(file)
	if err != nil {
		return err
	}
	for _, s := range im.Segments {
		b := file[s.Off : s.Off+up(s.Filesz)]
		for k, sum := range s.Sums {
			if Sum(b[k*BlockSize:min((k+1)*BlockSize, len(b))]) != sum {
				return ErrDamaged
			}
		}
	}
	return nil
}

func TestRoundTrip(t *testing.T) {
	im, file := sample(t)
	got, err := decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, im) {
		t.Errorf("got\n%+v\nwant\n%+v", got, im)
	}
	if err := intact(file); err != nil {
		t.Error(err)
	}
	if i := got.Blob(1); i != 2 {
		t.Errorf("blob 1 is segment %d, want 2", i)
	}
}

// What others understand: debug/elf reads the headers as gdb does.
func TestIsACoreFile(t *testing.T) {
	_, file := sample(t)
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_CORE || f.Machine != elf.EM_X86_64 || len(f.Progs) != 4 {
		t.Fatalf("%v for %v with %d segments", f.Type, f.Machine, len(f.Progs))
	}
	if p := f.Progs[2]; p.Type != elf.PT_LOAD || p.Vaddr != 0x7001000 || p.Flags != elf.PF_R|elf.PF_W {
		t.Errorf("segment %+v", p.ProgHeader)
	}
	if p := f.Progs[3]; p.Type == elf.PT_LOAD {
		t.Errorf("a blob is memory: %+v", p.ProgHeader)
	}
	notes := make([]byte, f.Progs[0].Filesz)
	f.Progs[0].ReadAt(notes, 0)
	for _, name := range []string{"CORE", "LINUX", "POPCORN"} {
		if !bytes.Contains(notes, []byte(name+"\x00")) {
			t.Errorf("no note of %s", name)
		}
	}
}

// One flipped bit anywhere is found.
func TestFlippedBits(t *testing.T) {
	im, file := sample(t)
	head := int(im.Segments[0].Off)
	for at := 0; at < len(file); at++ {
		if at > 1000 && at < head && at%5 != 0 { // all bits of all bytes would take minutes under the race detector
			continue
		}
		check := func(file []byte) error { _, err := decode(file); return err }
		if at >= head {
			check = intact
			if at%40009 != 0 && at != len(file)-1 { // of the memory, some
				continue
			}
		}
		file[at] ^= 1 << (at % 8)
		err := check(file)
		if err == nil {
			t.Fatalf("a flipped bit at %d of %d went unnoticed", at, len(file))
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Fatalf("a flipped bit at %d: %v", at, err)
		}
		file[at] ^= 1 << (at % 8)
	}
}

func TestCutShort(t *testing.T) {
	_, file := sample(t)
	for _, n := range []int{0, 1, 64, 200, 5000, len(file) - 4096, len(file) - 1} {
		if err := intact(file[:n:n]); err == nil {
			t.Errorf("the first %d of %d bytes pass for whole", n, len(file))
		}
	}
	if err := intact(append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestNewerVersion(t *testing.T) {
	_, file := sample(t)
	file = bytes.Replace(file, []byte(`"Version":1`), []byte(`"Version":9`), 1)
	if _, err := decode(file); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("got %v", err)
	}
}

func TestTooManyPieces(t *testing.T) {
	im := &Image{Threads: []Thread{{}}, Segments: make([]Segment, maxSegments+1)}
	if _, err := im.Place(); err == nil {
		t.Error("more segments than an ELF header can count were placed")
	}
}

func FuzzDecode(f *testing.F) {
	im := &Image{Process: Process{PID: 1}, Threads: []Thread{{TID: 1}}}
	im.Place()
	head, _ := im.Encode()
	f.Add(head)
	f.Fuzz(func(t *testing.T, file []byte) {
		im, err := Decode(uint64(len(file)), func(b []byte, off int64) error {
			copy(b, file[off:])
			return nil
		})
		if err == nil && len(im.Threads) == 0 {
			t.Error("an image without threads was decoded")
		}
	})
}
