package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"popcorn/internal/sys"
)

// eachKind runs f over memory and over a socket pair, plain and with TLS, which
// must all behave alike.
func eachKind(t *testing.T, f func(t *testing.T, a, b *Conn)) {
	eachPipe(t, 64<<10, f)
	run := func(name string, pair func(*testing.T, stream, stream) (*Conn, *Conn)) {
		t.Run(name, func(t *testing.T) {
			fa, fb, err := sys.Socketpair(sys.SOCK_STREAM | sys.SOCK_NONBLOCK)
			if err != nil {
				t.Fatal(err)
			}
			a, b := pair(t, fdStream(fa), fdStream(fb))
			defer a.Close()
			defer b.Close()
			f(t, a, b)
		})
	}
	run("socket", plainPair)
	run("tls-socket", tlsPair)
}

// eachPipe runs f over memory, plain and with TLS.
func eachPipe(t *testing.T, capacity int, f func(t *testing.T, a, b *Conn)) {
	run := func(name string, pair func(*testing.T, stream, stream) (*Conn, *Conn)) {
		t.Run(name, func(t *testing.T) {
			x, y := memStreams(capacity)
			a, b := pair(t, x, y)
			defer a.Close()
			defer b.Close()
			f(t, a, b)
		})
	}
	run("pipe", plainPair)
	run("tls-pipe", tlsPair)
}

func plainPair(_ *testing.T, x, y stream) (*Conn, *Conn) { return newConn(x), newConn(y) }

type frame struct {
	h Header
	p []byte
}

// collect is a handler that copies what it is given.
func collect(into *[]frame) func(Header, []byte) error {
	return func(h Header, p []byte) error {
		*into = append(*into, frame{h, bytes.Clone(p)})
		return nil
	}
}

// pump flushes a and receives at b until nothing waits and n frames are there.
func pump(t *testing.T, a, b *Conn, got *[]frame, n int) {
	t.Helper()
	for turns := 0; a.Queued() > 0 || len(*got) < n; turns++ {
		if turns > 1_000_000 {
			t.Fatalf("stuck: %d queued, %d of %d frames", a.Queued(), len(*got), n)
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := b.Recv(collect(got)); err != nil {
			t.Fatal(err)
		}
	}
}

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}

func TestFramesArriveInOrder(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		sizes := []int{0, 1, 31, 4096, 32, 70_000, 0, 5, 300_000, MaxPayload, 1, 4097}
		for i, n := range sizes {
			p := pattern(n, i)
			h := Header{Type: TMap, Flags: 1, Node: 2, Count: 3, Addr: 4 << 40, ID: uint64(i), Aux: 6}
			if err := a.Send(h, p[:n/3], nil, p[n/3:]); err != nil {
				t.Fatal(err)
			}
			clear(p) // the caller's again
		}
		var got []frame
		pump(t, a, b, &got, len(sizes))
		if len(got) != len(sizes) {
			t.Fatalf("%d frames, want %d", len(got), len(sizes))
		}
		for i, f := range got {
			want := Header{TMap, 1, 2, 3, 4 << 40, uint64(i), 6, uint32(sizes[i])}
			if f.h != want || !bytes.Equal(f.p, pattern(sizes[i], i)) {
				t.Errorf("frame %d: %v and %d bytes, want %v", i, f.h, len(f.p), want)
			}
		}
	})
}

func TestManyVectors(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		whole := pattern(10*2000, 1)
		parts := make([][]byte, 2000)
		for i := range parts {
			parts[i] = whole[i*10 : (i+1)*10]
		}
		if err := a.Send(Header{Type: TCall}, parts...); err != nil {
			t.Fatal(err)
		}
		var got []frame
		pump(t, a, b, &got, 1)
		if !bytes.Equal(got[0].p, whole) {
			t.Error("bytes differ")
		}
	})
}

func TestBothDirectionsFromHandler(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		if err := a.Send(Header{Type: TPing, ID: 7}); err != nil {
			t.Fatal(err)
		}
		err := b.Recv(func(h Header, _ []byte) error { return b.Send(Header{Type: TPong, ID: h.ID}) })
		if err != nil {
			t.Fatal(err)
		}
		var got []frame
		if err := a.Recv(collect(&got)); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].h.Type != TPong || got[0].h.ID != 7 {
			t.Errorf("answer %v", got)
		}
	})
}

func TestRecvOfNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		for range 2 {
			if err := b.Recv(func(Header, []byte) error { t.Error("called"); return nil }); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRecvBudget(t *testing.T) {
	eachPipe(t, 8<<20, func(t *testing.T, a, b *Conn) {
		for i := range 1000 {
			if err := a.Send(Header{Type: TMap, ID: uint64(i)}, make([]byte, 4096)); err != nil {
				t.Fatal(err)
			}
		}
		var got []frame
		if err := b.Recv(collect(&got)); err != nil {
			t.Fatal(err)
		}
		most := (turnBudget + firstBuffer + readAhead + recordSize) / (HeaderSize + 4096)
		if len(got) == 0 || len(got) > most {
			t.Errorf("%d frames in one turn, at most %d", len(got), most)
		}
		pump(t, a, b, &got, 1000)
	})
}

func TestHandlerErrorKeepsTheRest(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		for i := range 3 {
			a.Send(Header{Type: TMap, ID: uint64(i)}, []byte("x"))
		}
		stop := errors.New("stop")
		calls := 0
		if err := b.Recv(func(Header, []byte) error { calls++; return stop }); err != stop || calls != 1 {
			t.Fatalf("%v after %d calls", err, calls)
		}
		var got []frame
		if err := b.Recv(collect(&got)); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].h.ID != 1 || got[1].h.ID != 2 {
			t.Errorf("then %v", got)
		}
	})
}

func TestQueueLimit(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		a.limit = 1 << 20
		page := make([]byte, 4096)
		sent := 0
		var err error
		for err == nil && sent < 100_000 {
			if err = a.Send(Header{Type: TMap, ID: uint64(sent)}, page); err == nil {
				sent++
			}
		}
		if !errors.Is(err, ErrQueueFull) || a.Queued() > a.limit {
			t.Fatalf("%v with %d queued", err, a.Queued())
		}
		var got []frame
		pump(t, a, b, &got, sent)
		for i, f := range got {
			if f.h.ID != uint64(i) {
				t.Fatalf("frame %d has id %d: the refused frame left a trace", i, f.h.ID)
			}
		}
		if len(got) != sent {
			t.Errorf("%d frames, sent %d", len(got), sent)
		}
		if err := a.Send(Header{Type: TPing}); err != nil {
			t.Errorf("after the queue is empty: %v", err)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	eachPipe(t, 1<<10, func(t *testing.T, a, b *Conn) {
		for _, h := range []Header{{}, {Type: typeEnd}, {Type: 255}} {
			if err := a.Send(h); err == nil {
				t.Errorf("type %d sent", h.Type)
			}
		}
		if err := a.Send(Header{Type: TMap}, make([]byte, MaxPayload), []byte{1}); err == nil {
			t.Error("payload above the limit sent")
		}
		if a.Queued() != 0 {
			t.Errorf("%d bytes queued", a.Queued())
		}
		if err := b.Recv(func(h Header, _ []byte) error { return fmt.Errorf("got %v", h) }); err != nil {
			t.Error(err)
		}
	})
}

func TestPeerGone(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		a.Send(Header{Type: TBye})
		a.Close()
		var got []frame
		err := b.Recv(collect(&got))
		if err == nil {
			err = b.Recv(collect(&got))
		}
		if err != io.EOF || len(got) != 1 {
			t.Fatalf("%v after %d frames", err, len(got))
		}
		if err := b.Recv(collect(&got)); err != io.EOF {
			t.Errorf("again: %v", err)
		}
		if err := b.Send(Header{Type: TPing}); !errors.Is(err, io.EOF) || !errors.Is(err, sys.EPIPE) {
			t.Errorf("send: %v", err)
		}
		if b.Queued() != 0 || !errors.Is(b.Flush(), io.EOF) {
			t.Errorf("flush: %v, %d queued", b.Flush(), b.Queued())
		}
	})
}

// A failed write must not hide what the peer said before it went.
func TestLastWordsAfterFailedSend(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		a.Send(Header{Type: TGone, ID: 3})
		a.Close()
		if err := b.Send(Header{Type: TPing}); !errors.Is(err, io.EOF) {
			t.Fatalf("send: %v", err)
		}
		var got []frame
		b.Recv(collect(&got))
		if len(got) != 1 || got[0].h.ID != 3 {
			t.Errorf("got %v", got)
		}
	})
}

func TestPeerGoneWithinFrame(t *testing.T) {
	eachPipe(t, HeaderSize+10, func(t *testing.T, a, b *Conn) {
		if err := a.Send(Header{Type: TMap}, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if a.Queued() < 90 {
			t.Fatalf("%d queued", a.Queued())
		}
		a.Close()
		var err error
		for range 2 {
			if err == nil {
				err = b.Recv(func(Header, []byte) error { t.Error("half a frame dispatched"); return nil })
			}
		}
		if !errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v", err)
		}
	})
}

func TestGarbageKills(t *testing.T) {
	for name, h := range map[string]Header{
		"zeros":       {},
		"no type":     {Type: typeEnd, Len: 1},
		"huge":        {Type: TMap, Len: 0xffffffff},
		"just a byte": {Type: TMap, Len: MaxPayload + 1},
	} {
		t.Run(name, func(t *testing.T) {
			eachPipe(t, 1<<20, func(t *testing.T, a, b *Conn) {
				var raw [HeaderSize]byte
				h.Encode(raw[:])
				a.s.writev([][]byte{raw[:]})
				var first, second *ProtocolError
				never := func(Header, []byte) error { t.Error("dispatched"); return nil }
				if err := b.Recv(never); !errors.As(err, &first) {
					t.Fatalf("%v", err)
				}
				if err := b.Recv(never); !errors.As(err, &second) || first != second {
					t.Errorf("then: %v", err)
				}
			})
		})
	}
}

func TestCloseFromHandler(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		for range 3 {
			a.Send(Header{Type: TMap}, []byte("x"))
		}
		calls := 0
		err := b.Recv(func(Header, []byte) error { calls++; b.Close(); return nil })
		if err != ErrClosed || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
		b.Close()
		if err := b.Send(Header{Type: TPing}); err != ErrClosed {
			t.Errorf("send: %v", err)
		}
		if err := b.Flush(); err != ErrClosed {
			t.Errorf("flush: %v", err)
		}
		if err := b.Recv(nil); err != ErrClosed {
			t.Errorf("recv: %v", err)
		}
		if b.FD() != -1 || b.Queued() != 0 {
			t.Errorf("fd %d, %d queued", b.FD(), b.Queued())
		}
	})
}

// The buffer follows the bytes that came, not the length a header claims.
func TestBufferGrowsWithBytesOnly(t *testing.T) {
	eachPipe(t, maxBuffer+maxBuffer/8, func(t *testing.T, a, b *Conn) {
		a.s.writev([][]byte{encoded(Header{Type: TMap, Len: MaxPayload})})
		nothing := func(Header, []byte) error { t.Error("dispatched"); return nil }
		if err := b.Recv(nothing); err != nil {
			t.Fatal(err)
		}
		if len(b.in) != firstBuffer {
			t.Errorf("buffer of %d for a header", len(b.in))
		}
		a.s.writev([][]byte{make([]byte, MaxPayload-1)})
		for range 8 {
			if err := b.Recv(nothing); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.in) != maxBuffer {
			t.Errorf("buffer of %d, want %d", len(b.in), maxBuffer)
		}
	})
}

func encoded(h Header) []byte {
	b := make([]byte, HeaderSize)
	h.Encode(b)
	return b
}

func TestNoAllocation(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		page := make([]byte, 4096)
		handle := func(Header, []byte) error { return nil }
		n := testing.AllocsPerRun(1000, func() {
			if err := a.Send(Header{Type: TCoherence}, page); err != nil {
				t.Fatal(err)
			}
			if err := b.Recv(handle); err != nil {
				t.Fatal(err)
			}
		})
		most := 0.0
		if _, ok := a.s.(*tlsStream); ok {
			most = 1 // 24 bytes in readFromUntil of crypto/tls
		}
		if n > most {
			t.Errorf("%v allocations a frame", n)
		}
	})
}

func TestHeaderLayout(t *testing.T) {
	h := Header{Type: TCall, Flags: 0x12, Node: 0x1413, Count: 0x18171615, Addr: 0x201f1e1d1c1b1a19,
		ID: 0x2827262524232221, Aux: 0x2c2b2a29, Len: 0x000e2d2d}
	got := encoded(h)
	want := []byte{6, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
		0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2d, 0x0e, 0}
	if !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	var back Header
	if err := back.Decode(got); err != nil || back != h {
		t.Errorf("%v, %v", back, err)
	}
}

func TestAux(t *testing.T) {
	kind, mode, rest := UnpackAux(PackAux(0xab, 0xcd, 0x1234))
	if kind != 0xab || mode != 0xcd || rest != 0x1234 {
		t.Errorf("%#x %#x %#x", kind, mode, rest)
	}
}

func TestTypes(t *testing.T) {
	seen := map[string]bool{}
	for ty := range typeEnd {
		s := ty.String()
		if seen[s] || s == "" {
			t.Errorf("type %d is called %q", ty, s)
		}
		seen[s] = true
		if ty.Valid() != (ty != 0) {
			t.Errorf("%v: valid is %v", ty, ty.Valid())
		}
	}
	if TCoherence != 1 || TGone != 23 {
		t.Errorf("numbers of the protocol moved: %d to %d", TCoherence, TGone)
	}
}
