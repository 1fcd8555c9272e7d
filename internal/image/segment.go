package image

import (
	"hash/crc32"
)

// Segment is a piece of the file. One of memory is a PT_LOAD header of the core:
// Filesz bytes at Off are the program's at Start, the rest up to Memsz zeros. A
// blob is content that was in no memory: a deleted file, what a pipe held.
type Segment struct {
	Start  uint64 // 0 for a blob
	Memsz  uint64
	Off    uint64
	Filesz uint64
	Prot   uint64
	Blob   bool
	// Shown: for debuggers only, the program gets it from its file.
	Shown bool
	Sums  []uint32 // of each BlockSize bytes
}

const (
	// BlockSize is what one checksum covers, in bytes.
	BlockSize = 1 << 20
	pageSize  = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the checksum of a block: CRC-32C.
func Sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Blocks is how many checksums n bytes have.
func Blocks(n uint64) int { return int((n + BlockSize - 1) / BlockSize) }

// Blob returns the index of the segment that holds blob n, which counts from 1.
func (im *Image) Blob(n int) int {
	for i, s := range im.Segments {
		if s.Blob {
			if n--; n == 0 {
				return i
			}
		}
	}
	return -1
}

// place gives every segment its offset behind a head of n bytes, and returns the
// length of the whole file. Segments begin at pages, as mmap(2) wants them.
func (im *Image) place(n uint64) uint64 {
	at := up(n)
	for i := range im.Segments {
		s := &im.Segments[i]
		s.Off = at
		if len(s.Sums) != Blocks(up(s.Filesz)) {
			s.Sums = make([]uint32, Blocks(up(s.Filesz)))
		}
		at += up(s.Filesz)
	}
	return at
}

func up(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }
