package wire

import (
	"errors"
	"io"
	"runtime"
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

// BenchmarkRoundTrip is a question of 64 bytes and a page for an answer, between
// two event loops on threads of their own: what a read fault asks of the wire.
func BenchmarkRoundTrip(b *testing.B) {
	ca, err := NewAuthority(hello(0).Job)
	if err != nil {
		b.Fatal(err)
	}
	dialer, answerer := hello(1), hello(0)
	b.Run("tcp", func(b *testing.B) { roundTrips(b, dialer, answerer) })
	b.Run("unix", func(b *testing.B) {
		x, y, err := sys.Socketpair(sys.SOCK_STREAM | sys.SOCK_NONBLOCK)
		if err != nil {
			b.Fatal(err)
		}
		turnsAbout(b, NewConn(x), NewConn(y))
	})
	for _, h := range []*Hello{&dialer, &answerer} {
		c, err := ca.Issue(h.Node)
		if err != nil {
			b.Fatal(err)
		}
		h.Credentials = &c
	}
	b.Run("tls", func(b *testing.B) { roundTrips(b, dialer, answerer) })
}

func roundTrips(b *testing.B, dialer, answerer Hello) {
	d, a := meet(b, dialer, answerer)
	if d.err != nil || a.err != nil {
		b.Fatal(d.err, a.err)
	}
	turnsAbout(b, d.c, a.c)
}

func turnsAbout(b *testing.B, d, a *Conn) {
	done := make(chan error)
	page := pattern(vm.PageSize, 1)
	go func() {
		done <- turnsOf(a, func(Header, []byte) error { return a.Send(Header{Type: TCoherence}, page) })
	}()
	ask := func() error { return d.Send(Header{Type: TCoherence}, page[:64-HeaderSize]) }
	n := 0
	b.ResetTimer()
	if err := ask(); err != nil {
		b.Fatal(err)
	}
	err := turnsOf(d, func(Header, []byte) error {
		if n++; n < b.N {
			return ask()
		}
		return io.EOF
	})
	b.StopTimer()
	d.Close()
	if other := <-done; err != io.EOF || !errors.Is(other, io.EOF) {
		b.Error(err, other)
	}
	a.Close()
}

// BenchmarkBulk is a stream of chunks of 64 pages, encrypted, from one thread.
func BenchmarkBulk(b *testing.B) {
	ca, err := NewAuthority(hello(0).Job)
	if err != nil {
		b.Fatal(err)
	}
	var ends [2]Hello
	for n := range ends {
		c, err := ca.Issue(uint16(n))
		if err != nil {
			b.Fatal(err)
		}
		ends[n] = hello(uint16(n))
		ends[n].Credentials = &c
	}
	d, a := meet(b, ends[1], ends[0])
	if d.err != nil || a.err != nil {
		b.Fatal(d.err, a.err)
	}
	defer d.c.Close()
	defer a.c.Close()
	chunk, got := pattern(64*vm.PageSize, 1), 0
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	for n := 1; b.Loop(); n++ {
		if err := d.c.Send(Header{Type: TCoherence}, chunk); err != nil {
			b.Fatal(err)
		}
		for got < n {
			err := errors.Join(d.c.Flush(), a.c.Recv(func(Header, []byte) error { got++; return nil }),
				d.c.Recv(func(Header, []byte) error { return nil }))
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// turnsOf is an event loop of one peer, until handle or the peer ends it.
func turnsOf(c *Conn, handle func(Header, []byte) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e, err := sys.NewEpoll()
	if err != nil {
		return err
	}
	defer e.Close()
	const edge = sys.EPOLLIN | sys.EPOLLRDHUP | sys.EPOLLET
	err = e.Add(c.FD(), edge, 1)
	for events := make([]sys.Event, 1); err == nil; {
		if _, err = e.Wait(events, -1); err == nil {
			err = c.Recv(handle)
		} else if err == sys.EINTR { // Go's own signals
			err = nil
		}
		if err == nil && (c.More() || c.Queued() > 0) {
			err = errors.New("a page fills the socket")
		}
	}
	return err
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
