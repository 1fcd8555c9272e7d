package wire

import (
	"bytes"
	"testing"

	"popcorn/internal/vm"
)

// mixed is n pages of which page i is zero when keep says so.
func mixed(n int, zero func(int) bool) []byte {
	b := make([]byte, n*vm.PageSize)
	for i := range n {
		if !zero(i) {
			b[i*vm.PageSize+(i*977)%vm.PageSize] = byte(i + 1)
			b[(i+1)*vm.PageSize-1] = 1
		}
	}
	return b
}

func TestPagesComeBack(t *testing.T) {
	zeros := map[string]func(int) bool{
		"none": func(int) bool { return false }, "all": func(int) bool { return true },
		"odd": func(i int) bool { return i%2 == 1 }, "first": func(i int) bool { return i == 0 },
	}
	for name, zero := range zeros {
		for _, n := range []int{0, 1, 2, 7, 8, 9, 16, 17, vm.ChunkPages} {
			in := mixed(n, zero)
			prefix := []byte("prefix")
			enc := EncodePages(bytes.Clone(prefix), in)
			if !bytes.HasPrefix(enc, prefix) {
				t.Fatal("dst not kept")
			}
			enc = enc[len(prefix):]
			if len(enc) > EncodedPagesMax(n) || len(enc) > MaxPayload {
				t.Errorf("%s %d: %d bytes", name, n, len(enc))
			}
			p, err := DecodePages(enc, n)
			if err != nil || p.Len() != n {
				t.Fatalf("%s %d: %v", name, n, err)
			}
			checkPages(t, p, in, zero)
		}
	}
}

func checkPages(t *testing.T, p Pages, in []byte, zero func(int) bool) {
	t.Helper()
	next := 0
	for i, b := range p.All {
		if i != next {
			t.Fatalf("page %d, want %d", i, next)
		}
		next++
		if (b == nil) != zero(i) || b != nil && !bytes.Equal(b, in[i*vm.PageSize:][:vm.PageSize]) {
			t.Fatalf("page %d differs", i)
		}
	}
	if next*vm.PageSize != len(in) {
		t.Fatalf("%d pages", next)
	}
}

func TestPagesStopEarly(t *testing.T) {
	p, err := DecodePages(EncodePages(nil, mixed(5, func(int) bool { return false })), 5)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for range p.All {
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 {
		t.Errorf("%d pages", seen)
	}
}

func TestDecodePagesRefuses(t *testing.T) {
	one := EncodePages(nil, mixed(1, func(int) bool { return false }))
	for name, c := range map[string]struct {
		payload []byte
		n       int
	}{
		"negative":         {one, -1},
		"empty":            {nil, 1},
		"short":            {one[:len(one)-1], 1},
		"long":             {append(bytes.Clone(one), 0), 1},
		"trailing bit":     {append([]byte{2}, make([]byte, vm.PageSize)...), 1},
		"bits without end": {[]byte{0xff}, 8},
		"data, no bits":    {append([]byte{0}, make([]byte, vm.PageSize)...), 8},
		"huge count":       {one, 1 << 62},
		"all of int":       {one, 1<<63 - 1},
		"none, but data":   {one, 0},
	} {
		if _, err := DecodePages(c.payload, c.n); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

func TestIsZero(t *testing.T) {
	b := make([]byte, vm.PageSize)
	if !IsZero(b) || !IsZero(nil) {
		t.Error("zeros are not zero")
	}
	for i := range b {
		b[i] = 0x80
		if IsZero(b) {
			t.Fatalf("byte %d not seen", i)
		}
		b[i] = 0
	}
}

func TestPagesDoNotAllocate(t *testing.T) {
	in := mixed(16, func(i int) bool { return i%3 == 0 })
	dst := make([]byte, 0, EncodedPagesMax(16))
	sum := 0
	n := testing.AllocsPerRun(100, func() {
		enc := EncodePages(dst, in)
		p, err := DecodePages(enc, 16)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range p.All {
			sum += i + len(b)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodePages(f *testing.F) {
	f.Add(EncodePages(nil, mixed(3, func(i int) bool { return i == 1 })), 3)
	f.Add([]byte{0}, 8)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, payload []byte, n int) {
		p, err := DecodePages(payload, n)
		if err != nil {
			return
		}
		count, bytes := 0, 0
		for i, b := range p.All {
			if i != count || b != nil && len(b) != vm.PageSize {
				t.Fatalf("page %d of %d bytes, want %d", i, len(b), count)
			}
			count++
			bytes += len(b)
		}
		if count != n || bytes+bitmapSize(n) != len(payload) {
			t.Fatalf("%d pages of %d, %d bytes of %d", count, n, bytes, len(payload))
		}
	})
}

// TestPackedPagesAreEncodedPages: both ways of making a payload agree, and Runs
// yields what All does.
func TestPackedPagesAreEncodedPages(t *testing.T) {
	for pattern := range 1 << 5 {
		pages := make([]byte, 5*vm.PageSize)
		for i := range 5 {
			if pattern>>i&1 != 0 {
				pages[i*vm.PageSize+i] = byte(i + 1)
			}
		}
		want := EncodePages(nil, pages)
		original := bytes.Clone(pages)
		bitmap, data := PackPages(nil, pages)
		payload := append(bitmap, data...)
		if !bytes.Equal(payload, want) {
			t.Fatalf("pattern %b: packed and encoded differ", pattern)
		}
		p, err := DecodePages(payload, 5)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for first, r := range p.Runs {
			if first*vm.PageSize != len(got) {
				t.Fatalf("pattern %b: run at %d comes after %d bytes", pattern, first, len(got))
			}
			if r.Data == nil {
				got = append(got, make([]byte, r.N*vm.PageSize)...)
			}
			got = append(got, r.Data...)
		}
		if !bytes.Equal(got, original) {
			t.Fatalf("pattern %b: runs are not the pages", pattern)
		}
	}
}
