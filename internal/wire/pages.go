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

// All yields every page in order with its index: its bytes, which are the
// payload's own, or nil for a page of zeros. Use: for i, b := range p.All.
func (p Pages) All(yield func(int, []byte) bool) {
	data := p.data
	for i := range p.n {
		var b []byte
		if p.bitmap[i/8]>>(i%8)&1 != 0 {
			b, data = data[:vm.PageSize:vm.PageSize], data[vm.PageSize:]
		}
		if !yield(i, b) {
			return
		}
	}
}
