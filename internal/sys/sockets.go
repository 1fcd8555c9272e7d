package sys

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Socket is what socket(7) and unix(7) tell of one.
type Socket struct {
	Domain, Type int
	Listens      bool
	// Waiting is the bytes that can be read.
	Waiting int
	// Events is poll(2)'s POLLIN, POLLHUP and POLLRDHUP.
	Events int16
}

// StatSocket asks a socket.
func StatSocket(fd int) (s Socket, err error) {
	listens := 0
	for _, o := range []struct {
		name int
		to   *int
	}{{unix.SO_DOMAIN, &s.Domain}, {unix.SO_TYPE, &s.Type}, {unix.SO_ACCEPTCONN, &listens}} {
		if *o.to, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, o.name); err != nil {
			return s, fmt.Errorf("read option %d of socket: %w", o.name, err)
		}
	}
	s.Listens = listens != 0
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	if _, err := unix.Poll(p, 0); err != nil {
		return s, fmt.Errorf("poll socket: %w", err)
	}
	s.Events = p[0].Revents
	if !s.Listens {
		s.Waiting, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
	}
	return s, err
}

// PeekSocket reads the n bytes that wait in a stream socket, and leaves them there.
// ENOTSUP: descriptors wait with them.
func PeekSocket(fd, n int) ([]byte, error) {
	b, oob := make([]byte, n), make([]byte, unix.CmsgSpace(253*4)) // SCM_MAX_FD
	n, oobn, _, _, err := unix.Recvmsg(fd, b, oob, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	fds, err := parseFDs(oob[:oobn])
	for _, f := range fds {
		Close(f)
	}
	if err != nil || len(fds) > 0 || n < len(b) {
		return nil, ENOTSUP
	}
	return b, nil
}

// SocketOptions are those of socket(7) that a unix socket's program may have set, by
// number, as setsockopt(2) takes them: SO_SNDBUF, SO_RCVBUF, SO_PASSCRED, SO_RCVTIMEO,
// SO_SNDTIMEO.
func SocketOptions(fd int) (map[int][]byte, error) {
	out := map[int][]byte{}
	for _, name := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_PASSCRED} {
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, name)
		if err != nil {
			return nil, fmt.Errorf("read option %d of socket: %w", name, err)
		}
		if name != unix.SO_PASSCRED {
			v /= 2 // the kernel doubles what it is given
		}
		out[name] = binary.LittleEndian.AppendUint32(nil, uint32(v))
	}
	for _, name := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		v, err := unix.GetsockoptTimeval(fd, unix.SOL_SOCKET, name)
		if err != nil {
			return nil, fmt.Errorf("read option %d of socket: %w", name, err)
		}
		out[name] = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(v.Sec)), uint64(v.Usec))
	}
	return out, nil
}
