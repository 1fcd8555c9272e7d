package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"popcorn/internal/sys"
)

const (
	// recordSize is the plaintext of the largest record.
	recordSize = 16 << 10
	// batchSize is the ciphertext offered to the kernel in one piece: the peer
	// decrypts the first while we encrypt the second.
	batchSize = 4 * recordSize
	// owedLimit bounds the answers (to key updates) that a peer who does not
	// read can make us keep.
	owedLimit = 4 * batchSize
)

// ErrRecord means that bytes arrived that the peer did not send: a record of
// TLS that does not verify. The connection that carried it is dead.
var ErrRecord = errors.New("broken TLS record")

// tlsStream is TLS over another stream.
//
// crypto/tls blocks; what makes it fit is that its Read can be repeated after
// an error that calls itself temporary, as sys.EAGAIN does (readRecordOrCCS in
// crypto/tls/conn.go keeps what it has), and that writing below it never fails:
// socket keeps the ciphertext the kernel does not take. Reading can make
// ciphertext too: the answer to a key update, an alert.
type tlsStream struct {
	tls   *tls.Conn
	sock  *socket
	plain []byte // a record that is being filled
}

func newTLSStream(handshake net.Conn, cfg *tls.Config, role byte) *tlsStream {
	sock := &socket{Conn: handshake}
	if role == roleDial {
		return &tlsStream{tls: tls.Client(sock, cfg), sock: sock}
	}
	return &tlsStream{tls: tls.Server(sock, cfg), sock: sock}
}

// over moves the connection from the one of its handshake to s.
func (t *tlsStream) over(s stream) *tlsStream {
	t.sock.under = s
	return t
}

// read fills b as far as the kernel has something: a poll sees nothing of what
// crypto/tls holds back, so that may be left only when b is full.
func (t *tlsStream) read(b []byte, fresh bool) (n int, err error) {
	t.sock.dry = !fresh
	owed := t.sock.pending()
	for n < len(b) && err == nil && (n == 0 || !t.sock.empty()) {
		var k int
		k, err = t.tls.Read(b[n:])
		n += k
	}
	if t.sock.pending() > owed {
		t.sock.send() // its failure is writev's to tell
	}
	switch {
	case err == nil, errors.Is(err, sys.EAGAIN) && n > 0:
		err = nil
	case isAlert(err, localAlert), errors.As(err, new(tls.RecordHeaderError)):
		err = fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if t.sock.pending() > owedLimit {
		err = fmt.Errorf("answer key updates: %w", ErrQueueFull)
	}
	return n, err
}

// writev encrypts while the kernel takes all of it. Without bufs it sends what
// is pending.
func (t *tlsStream) writev(bufs [][]byte) (int, error) {
	if err := t.sock.send(); err != nil {
		return 0, err
	}
	n := 0
	for i, b := range bufs {
		for len(b) > 0 {
			k, err := t.gather(b, i == len(bufs)-1)
			if err != nil {
				return 0, err
			}
			n, b = n+k, b[k:]
			if t.sock.pending() < batchSize {
				continue
			}
			if err := t.sock.send(); err != nil {
				return sent(n, err)
			}
		}
	}
	if err := t.seal(); err != nil {
		return 0, err
	}
	return sent(n, t.sock.send())
}

// sent is writev's result: a full kernel keeps nobody from having encrypted n
// bytes.
func sent(n int, err error) (int, error) {
	if errors.Is(err, sys.EAGAIN) {
		return n, nil
	}
	return n, err
}

// gather adds the beginning of b to the record, and ends that when it is full.
// What makes a record by itself, as the last does, is not copied for it.
func (t *tlsStream) gather(b []byte, last bool) (int, error) {
	if len(t.plain) == 0 && (last || len(b) >= recordSize) {
		return t.tls.Write(b[:min(len(b), recordSize)])
	}
	if t.plain == nil {
		t.plain = make([]byte, 0, recordSize)
	}
	n := min(len(b), recordSize-len(t.plain))
	t.plain = append(t.plain, b[:n]...)
	if len(t.plain) < recordSize {
		return n, nil
	}
	return n, t.seal()
}

// seal encrypts the record.
func (t *tlsStream) seal() error {
	if len(t.plain) == 0 {
		return nil
	}
	_, err := t.tls.Write(t.plain)
	t.plain = t.plain[:0]
	return err
}

func (t *tlsStream) pending() int { return t.sock.pending() }
func (t *tlsStream) fd() int      { return t.sock.under.fd() }
func (t *tlsStream) abandon()     { t.sock.under.abandon() }

// close says goodbye if nothing is in its way: behind half a record the peer
// could not read it, and what is lost shall not look like an orderly end.
func (t *tlsStream) close() {
	if t.sock.pending() == 0 {
		t.tls.CloseWrite()
		t.sock.send()
	}
	t.sock.under.close()
}
