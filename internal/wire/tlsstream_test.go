package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"popcorn/internal/sys"
)

// cut ends the connection without a word.
func cut(c *Conn) { c.s.(*tlsStream).sock.under.close() }

// A peer that dies, or is cut off, says no goodbye: that is no orderly end.
func TestTruncationIsAnError(t *testing.T) {
	eachTLS(t, func(t *testing.T, a, b *Conn) {
		if err := a.Send(Header{Type: TBye}); err != nil {
			t.Fatal(err)
		}
		cut(a)
		var got []frame
		err := b.Recv(collect(&got))
		if err == nil {
			err = b.Recv(collect(&got))
		}
		if len(got) != 1 || err == io.EOF || !errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v after %d frames", err, len(got))
		}
	})
}

// Bytes put into the stream by someone else end it, after what came before,
// and the peer is told.
func TestForgedRecords(t *testing.T) {
	for name, raw := range map[string][]byte{
		"garbage":     []byte("GET / HTTP/1.1\r\n\r\n"),
		"zeros":       make([]byte, 100),
		"record":      append([]byte{23, 3, 3, 0, 40}, pattern(40, 1)...),
		"plain alert": {21, 3, 3, 0, 2, 1, 0},
		"huge":        {23, 3, 3, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			eachTLS(t, func(t *testing.T, a, b *Conn) {
				if err := a.Send(Header{Type: TPing}); err != nil {
					t.Fatal(err)
				}
				if _, err := a.s.(*tlsStream).sock.under.writev([][]byte{raw}); err != nil {
					t.Fatal(err)
				}
				var got []frame
				if err := b.Recv(collect(&got)); !errors.Is(err, ErrRecord) || len(got) != 1 {
					t.Fatalf("%v after %d frames", err, len(got))
				}
				if err := b.Recv(collect(&got)); !errors.Is(err, ErrRecord) {
					t.Errorf("then: %v", err)
				}
				if err := b.Send(Header{Type: TPing}); err == nil {
					t.Error("goes on sending")
				}
				if err := a.Recv(collect(&got)); !errors.Is(err, io.EOF) || !isAlert(err, remoteAlert) {
					t.Errorf("the peer: %v", err)
				}
			})
		})
	}
}

// eachTLS is eachKind without the plain ones.
func eachTLS(t *testing.T, f func(t *testing.T, a, b *Conn)) {
	eachKind(t, func(t *testing.T, a, b *Conn) {
		if _, ok := a.s.(*tlsStream); ok {
			f(t, a, b)
		}
	})
}

// trickle lets one byte through at a time.
type trickle struct {
	stream
	dry bool
}

func (s *trickle) read(b []byte, fresh bool) (int, error) {
	if s.dry = !s.dry; s.dry {
		return 0, sys.EAGAIN
	}
	return s.stream.read(b[:1], fresh)
}

func (s *trickle) writev(bufs [][]byte) (int, error) {
	if s.dry = !s.dry; s.dry {
		return 0, sys.EAGAIN
	}
	return s.stream.writev([][]byte{bufs[0][:1]})
}

func TestTrickle(t *testing.T) {
	x, y := memStreams(100)
	a, b := tlsPair(t, &trickle{stream: x}, &trickle{stream: y})
	sizes := []int{0, 1, 4096, 20_000, 3}
	for i, n := range sizes {
		if err := a.Send(Header{Type: TMap, ID: uint64(i)}, pattern(n, i)); err != nil {
			t.Fatal(err)
		}
	}
	var got []frame
	pump(t, a, b, &got, len(sizes))
	for i, f := range got {
		if !bytes.Equal(f.p, pattern(sizes[i], i)) {
			t.Errorf("frame %d differs", i)
		}
	}
}

// One frame is one record as long as it fits.
func TestOneRecordAFrame(t *testing.T) {
	eachTLS(t, func(t *testing.T, a, b *Conn) {
		under := b.s.(*tlsStream).sock.under
		for _, c := range []struct{ size, records int }{{0, 1}, {4096, 1}, {recordSize - HeaderSize, 1}, {recordSize, 2}} {
			p := pattern(c.size, 1)
			if err := a.Send(Header{Type: TMap}, p[:c.size/2], p[c.size/2:]); err != nil {
				t.Fatal(err)
			}
			raw := make([]byte, 64<<10)
			n, err := under.read(raw, true)
			if want := HeaderSize + c.size + c.records*(tlsHeader+1+16); err != nil || n != want {
				t.Errorf("%d bytes of payload are %d, want %d: %v", c.size, n, want, err)
			}
		}
	})
}

// What the peer does not read waits in the clear, where it is counted and costs
// no more than it has to.
func TestLittleIsEncryptedAhead(t *testing.T) {
	eachTLS(t, func(t *testing.T, a, b *Conn) {
		for range 1000 {
			if err := a.Send(Header{Type: TMap}, make([]byte, 8192)); err != nil {
				t.Fatal(err)
			}
			if err := a.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		s := a.s.(*tlsStream).sock
		if s.pending() == 0 || len(s.out) > batchSize+2*recordSize {
			t.Errorf("%d bytes encrypted, %d pending", len(s.out), s.pending())
		}
	})
}

// What Recv leaves when its budget is spent must be where a poll sees it.
func TestBudgetLeavesNothingUnseen(t *testing.T) {
	for extra := 0; extra < 2*firstBuffer; extra += 30_000 {
		eachPipe(t, 8<<20, func(t *testing.T, a, b *Conn) {
			frames := (turnBudget + extra) / (HeaderSize + 1000)
			for range frames {
				if err := a.Send(Header{Type: TMap}, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			count := func(Header, []byte) error { n++; return nil }
			for turns := 0; n < frames; turns++ {
				before := n
				if err := b.Recv(count); err != nil {
					t.Fatal(err)
				}
				if n < frames && (!b.More() || inKernel(b) == 0) || n == before {
					t.Fatalf("turn %d: %d of %d frames, %d bytes to poll for, more: %v", turns, n, frames, inKernel(b), b.More())
				}
			}
		})
	}
}

// inKernel is what waits in the memory below c.
func inKernel(c *Conn) int {
	s := c.s
	if t, ok := s.(*tlsStream); ok {
		s = t.sock.under
	}
	return len(s.(memStream).in.b)
}
