package carry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"

	"popcorn/internal/image"
	"popcorn/internal/sys"
)

const (
	afUnix       = 1 // AF_UNIX, socket.h
	otherSockets = "sockets are not carried yet, but for socketpair(2)'s"
	closeSocket  = "have the program close it; popcorn run gives what it was started with anew"
)

// socket carries ends of socket pairs (socketpair(2)) whose other end the program has,
// too, or nobody. Others would have to be connected anew.
func (d *Draft) socket(h *handle, no func(why, do string) (image.Open, bool)) (image.Open, bool) {
	s, err := sys.StatSocket(h.ours)
	switch {
	case err != nil:
		return no("it cannot be looked at: "+err.Error(), "have the program close it")
	case s.Domain != afUnix || s.Listens:
		return no(otherSockets, closeSocket)
	}
	u, err := askUnix(h.stat.Ino)
	var other unixSocket
	if err == nil && u.peer != 0 {
		other, err = askUnix(u.peer)
	}
	if err != nil {
		return no("its other end cannot be found: "+err.Error(), "have the program close it")
	}
	if u.named || other.named {
		return no(otherSockets, closeSocket)
	}
	o := image.Open{Type: image.SocketPair, Socket: h.stat.Ino, Peer: u.peer, Kind: s.Type}
	if o.Peer != 0 && s.Events&(sys.POLLHUP|sys.POLLRDHUP) != 0 {
		return no("one direction of it is shut down", "have the program close it")
	}
	if o.Options, err = setOptions(h.ours, s.Type); err != nil {
		return no("its options cannot be read: "+err.Error(), "have the program close it")
	}
	switch {
	case s.Waiting == 0 || !d.s.Still:
		return o, true
	case s.Type != sys.SOCK_STREAM:
		return no("messages wait in it", "have the program read them")
	}
	data, err := sys.PeekSocket(h.ours, s.Waiting)
	if errors.Is(err, sys.ENOTSUP) {
		return no("descriptors wait in it", "have the program read them")
	}
	if err != nil {
		return no("its content cannot be read: "+err.Error(), "have the program read it")
	}
	d.blobs = append(d.blobs, blob{data: data, fd: -1, size: int64(len(data))})
	o.Blob = len(d.blobs)
	return o, true
}

// unixSocket is what the kernel tells of one.
type unixSocket struct {
	peer  uint64 // inode of the other end, 0 when that is closed
	named bool
}

// askUnix asks for the unix socket with an inode (sock_diag(7), linux/unix_diag.h).
func askUnix(ino uint64) (u unixSocket, err error) {
	const (
		sockDiag           = 4    // NETLINK_SOCK_DIAG, linux/netlink.h
		showName, showPeer = 1, 4 // UDIAG_SHOW_NAME, UDIAG_SHOW_PEER
		name, peer         = 0, 2 // UNIX_DIAG_NAME, UNIX_DIAG_PEER
		replySize          = 16   // struct unix_diag_msg
		any                = 1<<32 - 1
	)
	b := []byte{afUnix, 0, 0, 0} // struct unix_diag_req: family, protocol, pad, states, inode, what to show, cookie
	for _, v := range []uint32{any, uint32(ino), showName | showPeer, any, any} {
		b = le.AppendUint32(b, v)
	}
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	req.AddRawData(b)
	replies, err := req.Execute(sockDiag, nl.SOCK_DIAG_BY_FAMILY)
	if err != nil || len(replies) != 1 || len(replies[0]) < replySize {
		return u, fmt.Errorf("ask for unix socket %d (the kernel's module unix_diag answers): %w", ino, err)
	}
	attrs, err := nl.ParseRouteAttr(replies[0][replySize:])
	for _, a := range attrs {
		switch {
		case a.Attr.Type == name:
			u.named = true
		case a.Attr.Type == peer && len(a.Value) == 4:
			u.peer = uint64(le.Uint32(a.Value))
		}
	}
	return u, err
}

// setOptions are the options of a socket that a new one has not.
func setOptions(fd, typ int) ([]image.SocketOption, error) {
	have, err := sys.SocketOptions(fd)
	if err != nil {
		return nil, err
	}
	a, b, err := sys.Socketpair(typ)
	if err != nil {
		return nil, err
	}
	defer sys.Close(a)
	defer sys.Close(b)
	fresh, err := sys.SocketOptions(a)
	if err != nil {
		return nil, err
	}
	var out []image.SocketOption
	for name, v := range have {
		if !bytes.Equal(v, fresh[name]) {
			out = append(out, image.SocketOption{Name: name, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b image.SocketOption) int { return a.Name - b.Name })
	return out, nil
}

// lookSockets finds pairs that lead to other processes.
func (d *Draft) lookSockets() {
	files, ours := d.Image.Process.Files, map[uint64]bool{}
	for _, o := range files {
		if o.Socket != 0 {
			ours[o.Socket] = true
		}
	}
	d.lookHolders("socket:[%d]", ours, "have both processes close it")
	for _, o := range files {
		if o.Socket != 0 && o.Peer != 0 && !ours[o.Peer] {
			d.obstacle(fmt.Sprintf("socket:[%d]", o.Socket), d.owner(), "its other end is another process's", "have the program close it")
		}
	}
}

// socketPair makes a pair with what waits in it, for all descriptions of its ends.
func (r *rebuilder) socketPair(first *image.Open) error {
	if _, err := r.call(sysSocketpair, afUnix, uint64(first.Kind|sys.SOCK_NONBLOCK), 0, r.scratch.Addr()); err != nil {
		return err
	}
	b, err := r.scratch.Get(8)
	if err != nil {
		return err
	}
	one, other := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:]))
	// Room first: what waits may need it. The flags last: until then writing does not wait.
	for _, step := range []func(i int, o *image.Open, end, from uint64) error{r.socketOptions, r.socketContent, r.socketEnd} {
		for i := range r.p.Files {
			o := &r.p.Files[i]
			switch {
			case o.Socket == 0:
			case o.Socket == first.Socket:
				err = step(i, o, one, other)
			case o.Socket == first.Peer:
				err = step(i, o, other, one)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, fd := range []uint64{one, other} {
		if _, err := r.call(sys.SYS_CLOSE, fd); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuilder) socketOptions(_ int, o *image.Open, end, _ uint64) error {
	for _, opt := range o.Options {
		at, err := r.scratch.Put(opt.Value)
		if err != nil {
			return err
		}
		if _, err := r.call(sysSetsockopt, end, solSocket, uint64(opt.Name), at, uint64(len(opt.Value))); err != nil {
			return fmt.Errorf("set option %d: %w", opt.Name, err)
		}
	}
	return nil
}

// socketContent writes what waits at one end into the other.
func (r *rebuilder) socketContent(_ int, o *image.Open, _, from uint64) error {
	if o.Blob == 0 {
		return nil
	}
	ours, err := sys.PidfdGetfd(r.proc.Pidfd, int(from))
	if err != nil {
		return err
	}
	defer sys.Close(ours)
	return r.pourInto(ours, o.Blob)
}

func (r *rebuilder) socketEnd(i int, o *image.Open, end, _ uint64) error { return r.end(i, o, end) }

const (
	sysSocketpair = 53
	sysSetsockopt = 54
	solSocket     = 1
)
