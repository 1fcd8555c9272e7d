package sys

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
)

func pair(t *testing.T, typ int) (a, b int) {
	t.Helper()
	a, b, err := Socketpair(typ)
	check(t, err)
	t.Cleanup(func() { Close(a); Close(b) })
	return a, b
}

func TestReadAndWriteKeepTheirErrors(t *testing.T) {
	a, b, err := Socketpair(SOCK_STREAM | SOCK_NONBLOCK)
	check(t, err)
	defer Close(b)
	buf := make([]byte, 16)
	if _, err := Read(b, buf); err != EAGAIN {
		t.Errorf("read of nothing: %v", err)
	}
	n, err := Writev(a, [][]byte{[]byte("ab"), nil, []byte("cde")})
	if n != 5 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if n, err = Read(b, buf); err != nil || string(buf[:n]) != "abcde" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	full := make([]byte, 1<<20)
	for err = nil; err == nil; {
		n, err = Write(a, full)
	}
	if n != 0 || err != EAGAIN {
		t.Errorf("write to a full socket: %d, %v", n, err)
	}
	Close(a)
	for err = nil; err == nil; {
		_, err = Read(b, full)
	}
	if err != io.EOF {
		t.Errorf("end of stream: %v", err)
	}
	if _, err := Write(b, full); err != EPIPE {
		t.Errorf("write to nobody: %v", err)
	}
}

func TestTakeFD(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	peer, err := l.Accept()
	check(t, err)
	defer peer.Close()
	fd, err := TakeFD(c.(*net.TCPConn))
	check(t, err)
	defer Close(fd)
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection still writes: %v", err)
	}
	check(t, SetNoDelay(fd, true))
	if _, err := Read(fd, make([]byte, 1)); err != EAGAIN {
		t.Errorf("it blocks: %v", err)
	}
	check(t, SetNonblock(fd, false))
	_, err = peer.Write([]byte("hello"))
	check(t, err)
	b := make([]byte, 16)
	n, err := Read(fd, b)
	if err != nil || string(b[:n]) != "hello" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	if _, err := TakeFD(c.(*net.TCPConn)); err == nil {
		t.Error("taken twice")
	}
}

func TestDescriptorsTravel(t *testing.T) {
	a, b := pair(t, SOCK_STREAM)
	r, w, err := Pipe(O_CLOEXEC)
	check(t, err)
	defer Close(r)
	check(t, SendFDs(a, []byte("two"), r, w))
	Close(w)
	buf := make([]byte, 8)
	n, fds, err := RecvFDs(b, buf, 4)
	check(t, err)
	if string(buf[:n]) != "two" || len(fds) != 2 {
		t.Fatalf("received %q with %v", buf[:n], fds)
	}
	_, err = Write(fds[1], []byte("through"))
	check(t, err)
	n, err = Read(r, buf)
	if err != nil || !bytes.Equal(buf[:n], []byte("through")) {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	for _, f := range fds {
		check(t, Close(f))
	}
}

func TestTooManyDescriptorsAreClosed(t *testing.T) {
	a, b := pair(t, SOCK_STREAM)
	before := openFDs(t)
	check(t, SendFDs(a, []byte("x"), a, a, a, a, a))
	if _, fds, err := RecvFDs(b, make([]byte, 1), 2); !errors.Is(err, E2BIG) || fds != nil {
		t.Errorf("received %v, %v", fds, err)
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	check(t, SendFDs(a, []byte("y")))
	if n, fds, err := RecvFDs(b, make([]byte, 1), 0); n != 1 || len(fds) != 0 || err != nil {
		t.Errorf("plain data: %d, %v, %v", n, fds, err)
	}
}

func TestRecvFDsEnds(t *testing.T) {
	a, b, err := Socketpair(SOCK_STREAM)
	check(t, err)
	defer Close(b)
	Close(a)
	if _, _, err := RecvFDs(b, make([]byte, 1), 1); err != io.EOF {
		t.Errorf("end of stream: %v", err)
	}
}

func TestPeerCredFD(t *testing.T) {
	a, _ := pair(t, SOCK_STREAM)
	c, err := PeerCredFD(a)
	check(t, err)
	if c.PID != os.Getpid() || int(c.UID) != os.Getuid() {
		t.Errorf("peer %+v", c)
	}
}

// What a peer has sent is received though it has closed without reading what came to it.
func TestReceiveFromOneThatDidNotRead(t *testing.T) {
	a, b, err := Socketpair(SOCK_SEQPACKET)
	check(t, err)
	defer Close(a)
	check(t, SendFDs(a, []byte("never read")))
	check(t, SendFDs(b, []byte("one")))
	check(t, SendFDs(b, []byte("two")))
	check(t, Close(b))
	buf := make([]byte, 8)
	for _, want := range []string{"one", "two"} {
		if n, _, err := RecvFDs(a, buf, 1); err != nil || string(buf[:n]) != want {
			t.Errorf("received %q, %v; want %s", buf[:n], err, want)
		}
	}
	if _, _, err := RecvFDs(a, buf, 1); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
