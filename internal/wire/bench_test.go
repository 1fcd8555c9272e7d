package wire

import (
	"testing"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

func BenchmarkHeader(b *testing.B) {
	b.ReportAllocs()
	var raw [HeaderSize]byte
	h := Header{Type: TCoherence, Node: 1, Addr: 0x7fff_0000_0000, ID: 9, Len: vm.PageSize}
	var back Header
	for b.Loop() {
		h.ID++
		h.Encode(raw[:])
		if err := back.Decode(raw[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFrame is one frame from Send to handle on one thread: what framing
// costs above the system calls.
func BenchmarkFrame(b *testing.B) {
	page := pattern(vm.PageSize, 1)
	handle := func(Header, []byte) error { return nil }
	run := func(x, y *Conn, batch int) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(batch * (HeaderSize + vm.PageSize)))
			for b.Loop() {
				for range batch {
					if err := x.Send(Header{Type: TCoherence}, page); err != nil {
						b.Fatal(err)
					}
				}
				if err := y.Recv(handle); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	x, y := Pipe(1 << 20)
	b.Run("pipe", run(x, y, 1))
	b.Run("pipe-16", run(x, y, 16))
	fx, fy, err := sys.Socketpair(sys.SOCK_STREAM | sys.SOCK_NONBLOCK)
	if err != nil {
		b.Fatal(err)
	}
	x, y = NewConn(fx), NewConn(fy)
	defer x.Close()
	defer y.Close()
	b.Run("socket", run(x, y, 1))
	b.Run("socket-16", run(x, y, 16))
}

func BenchmarkIsZero(b *testing.B) {
	zero, last := make([]byte, vm.PageSize), make([]byte, vm.PageSize)
	last[vm.PageSize-1] = 1
	for name, p := range map[string][]byte{"zero": zero, "last": last, "first": pattern(vm.PageSize, 1)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(vm.PageSize)
			for b.Loop() {
				IsZero(p)
			}
		})
	}
}

func BenchmarkPages(b *testing.B) {
	for name, zero := range map[string]func(int) bool{
		"full": func(int) bool { return false }, "half": func(i int) bool { return i%2 == 0 },
		"zero": func(int) bool { return true },
	} {
		in := mixed(16, zero)
		dst := make([]byte, 0, EncodedPagesMax(16))
		b.Run("encode-"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				EncodePages(dst, in)
			}
		})
		enc := EncodePages(dst, in)
		b.Run("decode-"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				p, err := DecodePages(enc, 16)
				if err != nil {
					b.Fatal(err)
				}
				sum := 0
				for _, page := range p.All {
					sum += len(page)
				}
			}
		})
	}
}
