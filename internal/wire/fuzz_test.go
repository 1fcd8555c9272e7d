package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"popcorn/internal/sys"
)

// cutStream yields data in reads whose sizes come from cuts, with an EAGAIN
// after each, then the end.
type cutStream struct {
	data, cuts []byte
	dry        bool
}

func (s *cutStream) read(b []byte, fresh bool) (int, error) {
	if s.dry || !fresh {
		s.dry = false
		return 0, sys.EAGAIN
	}
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := len(s.data)
	if len(s.cuts) > 0 {
		n, s.cuts = int(s.cuts[0])+1, s.cuts[1:]
	}
	n = copy(b, s.data[:min(n, len(s.data))])
	s.data, s.dry = s.data[n:], true
	return n, nil
}

func (s *cutStream) writev([][]byte) (int, error) { return 0, sys.EPIPE }
func (s *cutStream) pending() int                 { return 0 }
func (s *cutStream) fd() int                      { return -1 }
func (s *cutStream) close()                       {}
func (s *cutStream) abandon()                     {}

// reference takes the frames out of a stream in the plainest way.
func reference(data []byte) (frames []frame, bad bool) {
	for len(data) >= HeaderSize {
		var h Header
		if h.Decode(data) != nil {
			return frames, true
		}
		if len(data) < HeaderSize+int(h.Len) {
			break
		}
		frames = append(frames, frame{h, data[HeaderSize : HeaderSize+h.Len]})
		data = data[HeaderSize+h.Len:]
	}
	return frames, false
}

func FuzzStream(f *testing.F) {
	good := append(encoded(Header{Type: TPing, ID: 1}), encoded(Header{Type: TMap, Len: 3})...)
	good = append(good, "abc"...)
	good = append(good, encoded(Header{Type: TGone})...)
	f.Add(good, []byte{0, 0, 30, 7})
	f.Add(good[:50], []byte{})
	f.Add(good, make([]byte, len(good)))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), []byte{1})
	f.Add(append(bytes.Clone(good), make([]byte, 40)...), []byte{33})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		want, bad := reference(data)
		c := newConn(&cutStream{data: data, cuts: cuts})
		var got []frame
		var err error
		for turns := 0; err == nil; turns++ {
			if turns > 2*len(data)+4 { // every read of a byte is followed by an EAGAIN
				t.Fatal("no end")
			}
			err = c.Recv(collect(&got))
		}
		var pe *ProtocolError
		if errors.As(err, &pe) != bad || !bad && !errors.Is(err, io.EOF) {
			t.Fatalf("ends with %v, garbage is %v", err, bad)
		}
		if len(got) != len(want) {
			t.Fatalf("%d frames, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i].h != want[i].h || !bytes.Equal(got[i].p, want[i].p) {
				t.Fatalf("frame %d: %v, want %v", i, got[i].h, want[i].h)
			}
		}
		if len(c.in) > max(firstBuffer, 2*len(data)) {
			t.Fatalf("buffer of %d for %d bytes", len(c.in), len(data))
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(encoded(Header{Type: TCoherence, Flags: 1, Node: 2, Count: 3, Addr: 4, ID: 5, Aux: 6, Len: 7}))
	f.Add(make([]byte, HeaderSize))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < HeaderSize {
			return
		}
		var h Header
		if err := h.Decode(raw); err != nil {
			var pe *ProtocolError
			if !errors.As(err, &pe) || pe.Got <= pe.Max && pe.Got != 0 {
				t.Fatalf("%v", err)
			}
			return
		}
		if !bytes.Equal(encoded(h), raw[:HeaderSize]) {
			t.Fatalf("%v encodes to % x, was % x", h, encoded(h), raw[:HeaderSize])
		}
	})
}

// FuzzSend sends frames of the given sizes through a pipe of any capacity with
// flushes and receptions in any order: they arrive whole and in order.
func FuzzSend(f *testing.F) {
	f.Add(uint16(1), []byte{0, 1, 2, 3, 200, 5})
	f.Add(uint16(4096), []byte{255, 254, 253})
	f.Fuzz(func(t *testing.T, capacity uint16, plan []byte) {
		if len(plan) > 200 {
			return
		}
		a, b := Pipe(int(capacity)%512 + 1)
		var got []frame
		var want [][]byte
		for i, step := range plan {
			switch step % 4 {
			case 0:
				b.Recv(collect(&got))
			case 1:
				a.Flush()
			default:
				p := pattern(int(step)*3, i)
				if err := a.Send(Header{Type: TMap}, p[:len(p)/2], p[len(p)/2:]); err != nil {
					t.Fatal(err)
				}
				want = append(want, p)
			}
		}
		pump(t, a, b, &got, len(want))
		for i := range want {
			if !bytes.Equal(got[i].p, want[i]) {
				t.Fatalf("frame %d differs", i)
			}
		}
	})
}
