package wire

import (
	"bytes"
	"fmt"
	"math/bits"

	"popcorn/internal/vm"
)

var zeroPage [vm.PageSize]byte

// IsZero tells whether b holds only zeros. b is at most a page.
func IsZero(b []byte) bool { return bytes.Equal(b, zeroPage[:len(b)]) }

// EncodePages appends to dst the pages, whose length is a multiple of the page
// size: a bitmap with a one for each page that is not all zero (page i is bit
// i%8 of byte i/8), then those pages, in order. Zero pages cost one bit.
func EncodePages(dst, pages []byte) []byte {
	n := len(pages) / vm.PageSize
	if n*vm.PageSize != len(pages) {
		panic(fmt.Sprintf("wire: encode %d bytes, not whole pages", len(pages)))
	}
	base := len(dst)
	for range bitmapSize(n) {
		dst = append(dst, 0)
	}
	for i := range n {
		p := pages[i*vm.PageSize : (i+1)*vm.PageSize]
		if !IsZero(p) {
			dst[base+i/8] |= 1 << (i % 8)
			dst = append(dst, p...)
		}
	}
	return dst
}

// PackPages is EncodePages in two parts, for pages the caller can spare: the
// bitmap, appended to dst, and the pages that are not all zero, moved together
// where they are.
func PackPages(dst, pages []byte) (bitmap, data []byte) {
	n := len(pages) / vm.PageSize
	if n*vm.PageSize != len(pages) {
		panic(fmt.Sprintf("wire: pack %d bytes, not whole pages", len(pages)))
	}
	base, kept := len(dst), 0
	dst = append(dst, make([]byte, bitmapSize(n))...)
	for i := range n {
		p := pages[i*vm.PageSize : (i+1)*vm.PageSize]
		if IsZero(p) {
			continue
		}
		dst[base+i/8] |= 1 << (i % 8)
		if kept < i {
			copy(pages[kept*vm.PageSize:], p)
		}
		kept++
	}
	return dst, pages[:kept*vm.PageSize]
}

// EncodedPagesMax is the most bytes EncodePages appends for n pages.
func EncodedPagesMax(n int) int { return bitmapSize(n) + n*vm.PageSize }

func bitmapSize(n int) int { return (n + 7) / 8 }

// Pages is a payload made by EncodePages, checked.
type Pages struct {
	bitmap, data []byte
	n            int
}

// DecodePages checks that payload is what EncodePages made of n pages and
// nothing else. The result refers to payload and copies nothing.
func DecodePages(payload []byte, n int) (Pages, error) {
	if n < 0 || n > 8*len(payload) {
		return Pages{}, fmt.Errorf("decode %d pages: payload of %d bytes", n, len(payload))
	}
	p := Pages{payload[:bitmapSize(n)], payload[bitmapSize(n):], n}
	set := 0
	for _, b := range p.bitmap {
		set += bits.OnesCount8(b)
	}
	if set*vm.PageSize != len(p.data) {
		return Pages{}, fmt.Errorf("decode %d pages: %d present, %d bytes of data", n, set, len(p.data))
	}
	if n%8 != 0 && p.bitmap[n/8]>>(n%8) != 0 {
		return Pages{}, fmt.Errorf("decode %d pages: bitmap goes on behind the last page", n)
	}
	return p, nil
}

// Len is the number of pages.
func (p Pages) Len() int { return p.n }

// Alike is some pages in a row: their bytes one after another, or nil when all
// are zeros.
type Alike struct {
	N    int
	Data []byte
}

// Runs yields the pages in order, as many at a time as are alike, with the index
// of the first. The bytes are the payload's own.
func (p Pages) Runs(yield func(int, Alike) bool) {
	data := p.data
	for i := 0; i < p.n; {
		j := i + 1
		for j < p.n && p.has(j) == p.has(i) {
			j++
		}
		var b []byte
		if p.has(i) {
			k := (j - i) * vm.PageSize
			b, data = data[:k:k], data[k:]
		}
		if !yield(i, Alike{j - i, b}) {
			return
		}
		i = j
	}
}

func (p Pages) has(i int) bool { return p.bitmap[i/8]>>(i%8)&1 != 0 }

// All yields every page in order with its index: its bytes, which are the
// payload's own, or nil for a page of zeros. Use: for i, b := range p.All.
func (p Pages) All(yield func(int, []byte) bool) {
	data := p.data
	for i := range p.n {
		var b []byte
		if p.has(i) {
			b, data = data[:vm.PageSize:vm.PageSize], data[vm.PageSize:]
		}
		if !yield(i, b) {
			return
		}
	}
}
