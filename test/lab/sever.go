package lab

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// established is TCP_ESTABLISHED of include/net/tcp_states.h.
const established = 1

// Sever breaks the connections of TCP that a host has with another, and tells how
// many. It is what the kernel does with ss -K: the host's end is aborted, the other
// hears a reset, if the way there is open. New ones can be made at once.
// Errors: ErrCannotSever.
func (l *Lab) Sever(here, there *Host) (n int, err error) {
	err = here.inNetwork(func() error {
		all, err := netlink.SocketDiagTCP(unix.AF_INET)
		if err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
		for _, s := range all {
			if s.State != established || !s.ID.Destination.Equal(there.Addr.AsSlice()) {
				continue
			}
			ok, err := destroy(s.ID)
			if err != nil {
				return err
			}
			if ok {
				n++
			}
		}
		return nil
	})
	return n, err
}

// ErrCannotSever tells that the kernel has no such call.
var ErrCannotSever = errors.New("the kernel breaks no connections (CONFIG_INET_DIAG_DESTROY)")

// destroy aborts a connection; false when it has ended by itself.
func destroy(s netlink.SocketID) (bool, error) {
	err := netlink.SocketDestroy(tcpAddr(s.Source, s.SourcePort), tcpAddr(s.Destination, s.DestinationPort))
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return false, ErrCannotSever
	case err != nil:
		return false, fmt.Errorf("abort connection: %w", err)
	}
	return true, nil
}

func tcpAddr(ip net.IP, port uint16) *net.TCPAddr { return &net.TCPAddr{IP: ip, Port: int(port)} }
