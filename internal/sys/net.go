package sys

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Read is read(2) going on after EINTR. The end of a stream is io.EOF; EAGAIN
// when non-blocking and empty.
func Read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write is write(2) going on after EINTR but not after a short write.
func Write(fd int, b []byte) (int, error) {
	for {
		if n, err := unix.Write(fd, b); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Writev writes the buffers in order as one write; at most 1024 of them.
func Writev(fd int, bufs [][]byte) (int, error) {
	for {
		if n, err := unix.Writev(fd, bufs); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// SetNoDelay sends each write on a TCP socket at once: an unfilled segment
// otherwise waits up to 40 ms for an acknowledgement.
func SetNoDelay(fd int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, v)
}

// Conn is what TakeFD takes: *net.TCPConn, *net.UnixConn.
type Conn interface {
	syscall.Conn
	io.Closer
}

// TakeFD takes the descriptor out of c, so that the runtime's poller no longer
// knows it, and closes c. It is non-blocking and close-on-exec. c is closed
// also on error.
func TakeFD(c Conn) (int, error) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("take descriptor of connection: %w", err)
	}
	fd := -1
	var dupErr error
	if err = raw.Control(func(old uintptr) { fd, dupErr = Dup(int(old)) }); err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, fmt.Errorf("take descriptor of connection: %w", err)
	}
	return fd, nil
}

// Socketpair is a pair of connected unix sockets, close-on-exec; typ is
// SOCK_STREAM or SOCK_SEQPACKET, with SOCK_NONBLOCK if wanted.
func Socketpair(typ int) (a, b int, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	return p[0], p[1], err
}

// SendFDs sends data (at least one byte) with duplicates of fds over a unix socket.
func SendFDs(fd int, data []byte, fds ...int) error {
	for {
		n, err := unix.SendmsgN(fd, data, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("send descriptors: %w", err)
		case n < len(data):
			return fmt.Errorf("send descriptors: %d of %d bytes: %w", n, len(data), io.ErrShortWrite)
		default:
			return nil
		}
	}
}

// RecvFDs receives what one SendFDs sent: n bytes into buf and its descriptors,
// close-on-exec, owned by the caller. More than limit of them are closed and are an
// error. io.EOF at the end of the stream.
func RecvFDs(fd int, buf []byte, limit int) (n int, fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*limit))
	var oobn, flags int
	for reset := false; ; {
		n, oobn, flags, _, err = unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		// A peer that has closed without reading all is told of once, before what it has sent
		// (unix_release_sock, net/unix/af_unix.c; __skb_try_recv_datagram, net/core/datagram.c).
		again := err == unix.EINTR || err == unix.ECONNRESET && !reset
		if reset = reset || err == unix.ECONNRESET; !again {
			break
		}
	}
	if err != nil {
		return 0, nil, fmt.Errorf("receive descriptors: %w", err)
	}
	fds, err = parseFDs(oob[:oobn])
	if err == nil && (flags&unix.MSG_CTRUNC != 0 || len(fds) > limit) {
		err = E2BIG
	}
	if err != nil {
		for _, f := range fds {
			Close(f)
		}
		return 0, nil, fmt.Errorf("receive descriptors: %w", err)
	}
	if n == 0 && len(buf) > 0 && len(fds) == 0 {
		return 0, nil, io.EOF
	}
	return n, fds, nil
}

func parseFDs(oob []byte) (fds []int, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		if msgs[i].Header.Level != unix.SOL_SOCKET || msgs[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		got, err := unix.ParseUnixRights(&msgs[i])
		fds = append(fds, got...)
		if err != nil {
			return fds, err
		}
	}
	return fds, nil
}

// PeerCredFD is PeerCred for a socket outside package net.
func PeerCredFD(fd int) (Cred, error) {
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Cred{}, err
	}
	return Cred{PID: int(u.Pid), UID: u.Uid, GID: u.Gid}, nil
}

// UserTimeout is a control function for net.Dialer: a connection whose peer has
// acknowledged nothing for d, while something was sent, is ended by the kernel
// (TCP_USER_TIMEOUT, tcp(7)).
func UserTimeout(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		})
		return errors.Join(err, set)
	}
}
