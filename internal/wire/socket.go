package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"popcorn/internal/sys"
)

// readAhead is the ciphertext taken from the kernel at once.
const readAhead = 64 << 10

// tlsHeader is the bytes before a record: type 1, version 2, length 2.
const tlsHeader = 5

// errTruncated is the end of a connection whose peer did not say goodbye: it
// died, or someone cut it.
var errTruncated = fmt.Errorf("end without close_notify: %w", io.ErrUnexpectedEOF)

// socket is what crypto/tls sees of the network: the net.Conn of the
// handshake, and from then on a stream that does not block.
type socket struct {
	net.Conn
	head [tlsHeader]byte // of the record crypto/tls reads
	got  int             // bytes of head
	body int             // bytes of the record still to come, once known

	under stream
	in    []byte // in[r:w] is received and not yet decrypted
	r, w  int
	dry   bool // the kernel has no more, or shall not be asked

	out  []byte // out[off:] waits for the kernel
	off  int
	vec  [1][]byte
	wErr error
}

// Read gives the bytes of one record at most. In the handshake no more is taken
// from the kernel either: no poll would tell of the frames behind. Afterwards
// it lets us know that crypto/tls holds nothing back when we do not.
func (s *socket) Read(p []byte) (n int, err error) {
	if s.under == nil {
		p = s.within(p)
		n, err = s.Conn.Read(p)
	} else {
		if s.r == s.w {
			if err := s.fill(); err != nil {
				return 0, err
			}
		}
		p = s.within(p)
		n = copy(p, s.in[s.r:s.w])
		s.r += n
	}
	s.passed(p[:n])
	return n, err
}

// within cuts p to what is left of the record, or of its header as long as that
// is not known.
func (s *socket) within(p []byte) []byte {
	if in := s.in[s.r:s.w]; s.body == 0 && s.got == 0 && len(in) >= tlsHeader {
		s.body = tlsHeader + recordLen(in)
	}
	if s.body > 0 {
		return p[:min(len(p), s.body)]
	}
	return p[:min(len(p), tlsHeader-s.got)]
}

// passed counts what crypto/tls was given.
func (s *socket) passed(p []byte) {
	if s.body > 0 {
		s.body -= len(p)
		return
	}
	s.got += copy(s.head[s.got:], p)
	if s.got == tlsHeader {
		s.got, s.body = 0, recordLen(s.head[:])
	}
}

func recordLen(header []byte) int { return int(binary.BigEndian.Uint16(header[3:])) }

// empty tells whether there is nothing more to decrypt now.
func (s *socket) empty() bool { return s.dry && s.r == s.w }

// fill reads ahead. Like Conn.Recv it takes a short read for the last.
func (s *socket) fill() error {
	if s.dry {
		return sys.EAGAIN
	}
	if s.in == nil {
		s.in = make([]byte, readAhead)
	}
	n, err := s.under.read(s.in, true)
	if err == io.EOF {
		return errTruncated // as io.EOF crypto/tls would take it for a goodbye
	}
	if err != nil {
		return err
	}
	s.r, s.w, s.dry = 0, n, n < len(s.in)
	return nil
}

// Write keeps p for send, and cannot fail: crypto/tls could not go on.
func (s *socket) Write(p []byte) (int, error) {
	if s.under == nil {
		return s.Conn.Write(p)
	}
	if s.off > 0 {
		s.out = s.out[:copy(s.out, s.out[s.off:])]
		s.off = 0
	}
	if s.wErr == nil {
		s.out = append(s.out, p...)
	}
	return len(p), nil
}

func (s *socket) pending() int { return len(s.out) - s.off }

// send offers to the kernel what waits; EAGAIN when not all of it was taken.
func (s *socket) send() error {
	if s.pending() == 0 {
		return s.wErr
	}
	s.vec[0] = s.out[s.off:]
	n, err := s.under.writev(s.vec[:])
	switch {
	case errors.Is(err, sys.EAGAIN), err == nil && n < s.pending():
		s.off += n
		return sys.EAGAIN
	case err != nil:
		s.wErr = err
	}
	s.out, s.off = s.out[:0], 0
	return err
}
