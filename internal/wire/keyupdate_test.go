package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"testing"
)

// Types of TLS 1.3 records, and the KeyUpdate message that wants an answer.
const (
	typeHandshake = 22
	typeData      = 23
)

var keyUpdate = []byte{24, 0, 0, 1, 1}

// recordKeys is one direction of the record layer (RFC 8446, 5.2 and 7): crypto/tls
// answers a key update but never starts one.
type recordKeys struct {
	t      *testing.T
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func (k *recordKeys) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label+"\x00"...)
	out, err := hkdf.Expand(sha256.New, k.secret, string(info), n)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func (k *recordKeys) use(secret []byte) {
	k.secret, k.seq = secret, 0
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		k.t.Fatal(err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		k.t.Fatal(err)
	}
	k.iv = k.expand("iv", 12)
}

func (k *recordKeys) update() { k.use(k.expand("traffic upd", sha256.Size)) }

func (k *recordKeys) nonce() []byte {
	n := bytes.Clone(k.iv)
	binary.BigEndian.PutUint64(n[4:], binary.BigEndian.Uint64(n[4:])^k.seq)
	k.seq++
	return n
}

func (k *recordKeys) seal(typ byte, data []byte) []byte {
	head := []byte{typeData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(data)+1+k.aead.Overhead()))
	return k.aead.Seal(head, k.nonce(), append(bytes.Clone(data), typ), head)
}

// open takes the first record off raw.
func (k *recordKeys) open(raw []byte) (typ byte, data, rest []byte) {
	k.t.Helper()
	end := tlsHeader + recordLen(raw)
	data, err := k.aead.Open(nil, k.nonce(), raw[tlsHeader:end], raw[:tlsHeader])
	if err != nil {
		k.t.Fatal(err)
	}
	return data[len(data)-1], data[:len(data)-1], raw[end:]
}

// byHand is a Conn over memory whose peer is the test itself, with its keys.
func byHand(t *testing.T, capacity int) (b *Conn, peer memStream, send, recv *recordKeys) {
	t.Helper()
	cx, cy := net.Pipe()
	done := make(chan error)
	s, err := encrypted(t, cy)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- s.tls.Handshake() }()
	cfg, err := config(trusted(t, authority(), 1))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg.KeyLogWriter = &log
	client := tls.Client(cx, cfg)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if client.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("the test speaks AES-128-GCM only, which a processor without AES does not choose")
	}
	send, recv = &recordKeys{t: t}, &recordKeys{t: t}
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		secret, _ := hex.DecodeString(f[2])
		switch f[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			send.use(secret)
		case "SERVER_TRAFFIC_SECRET_0":
			recv.use(secret)
		}
	}
	x, y := memStreams(capacity)
	return newConn(s.over(y)), x, send, recv
}

func encrypted(t *testing.T, c net.Conn) (*tlsStream, error) {
	cfg, err := config(trusted(t, authority(), 0))
	if err != nil {
		return nil, err
	}
	return newTLSStream(c, cfg, roleAnswer), nil
}

func (k *recordKeys) say(s memStream, typ byte, data []byte) {
	k.t.Helper()
	raw := k.seal(typ, data)
	if n, err := s.writev([][]byte{raw}); err != nil || n != len(raw) {
		k.t.Fatal(n, err)
	}
}

func (k *recordKeys) heard(s memStream, typ byte, data []byte, raw []byte) (rest []byte) {
	k.t.Helper()
	ty, got, rest := k.open(raw)
	if ty != typ || !bytes.Equal(got, data) {
		k.t.Fatalf("a record of type %d, %d bytes: % .40x", ty, len(got), got)
	}
	return rest
}

func TestKeyUpdate(t *testing.T) {
	b, peer, send, recv := byHand(t, 1<<20)
	var got []frame
	for i := range 40 { // more than crypto/tls allows in a row without data
		send.say(peer, typeHandshake, keyUpdate[:2]) // in two pieces
		if err := b.Recv(collect(&got)); err != nil {
			t.Fatal(err)
		}
		send.say(peer, typeHandshake, keyUpdate[2:])
		send.update()
		send.say(peer, typeData, encoded(Header{Type: TPing, ID: uint64(i)}))
		if err := b.Recv(collect(&got)); err != nil || len(got) != i+1 || b.More() || b.Queued() != 0 {
			t.Fatalf("%v, %d frames, more %v, %d queued", err, len(got), b.More(), b.Queued())
		}
		if err := b.Send(Header{Type: TPong}); err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 1000)
		n, err := peer.read(raw, true)
		if err != nil {
			t.Fatal(err)
		}
		rest := recv.heard(peer, typeHandshake, []byte{24, 0, 0, 1, 0}, raw[:n])
		recv.update()
		recv.heard(peer, typeData, encoded(Header{Type: TPong}), rest)
	}
}

// An answer that the kernel does not take makes Recv ask to be polled for it.
func TestKeyUpdateAnswerWaits(t *testing.T) {
	b, peer, send, recv := byHand(t, 100)
	if err := b.Send(Header{Type: TPing}); err != nil { // 54 bytes
		t.Fatal(err)
	}
	peer.in.limit = 54 // full, and nothing queued: the loop polls for input only
	send.say(peer, typeHandshake, keyUpdate)
	if err := b.Recv(nil); err != nil || !b.More() || b.Queued() == 0 {
		t.Fatalf("%v, more %v, %d queued", err, b.More(), b.Queued())
	}
	raw := make([]byte, 100)
	n, err := peer.read(raw, true)
	if err != nil {
		t.Fatal(err)
	}
	recv.heard(peer, typeData, encoded(Header{Type: TPing}), raw[:n])
	if err := b.Flush(); err != nil || b.Queued() != 0 {
		t.Fatalf("%v, %d queued", err, b.Queued())
	}
	if n, err = peer.read(raw, true); err != nil {
		t.Fatal(err)
	}
	recv.heard(peer, typeHandshake, []byte{24, 0, 0, 1, 0}, raw[:n])
	if err := b.Recv(nil); err != nil || b.More() {
		t.Errorf("%v, more %v", err, b.More())
	}
}

// A peer that wants answers and reads none costs bounded memory.
func TestKeyUpdateFloodEnds(t *testing.T) {
	b, peer, send, _ := byHand(t, 100)
	peer.in.limit = 0
	var err error
	for i := 0; err == nil && i < owedLimit; i++ {
		send.say(peer, typeHandshake, keyUpdate)
		send.update()
		if err = b.Recv(nil); err == nil && i%8 == 0 {
			send.say(peer, typeData, encoded(Header{Type: TPing}))
			err = b.Recv(func(Header, []byte) error { return nil })
		}
	}
	if !errors.Is(err, ErrQueueFull) || cap(b.s.(*tlsStream).sock.out) > 4*owedLimit {
		t.Errorf("%v, %d bytes kept", err, cap(b.s.(*tlsStream).sock.out))
	}
}
