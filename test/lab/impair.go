package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// detour is a way through this process for packets that are to be late or lost:
// the router sends them into a tun device, from where they come back when their time
// has come. What is not impaired never comes here.
type detour struct {
	tun   *os.File
	delay map[[2]netip.Addr]impairment
	queue chan packet
	done  sync.WaitGroup

	mu sync.Mutex // of delay
}

type impairment struct {
	delay time.Duration
	loss  float64
}

type packet struct {
	due  time.Time
	data []byte
}

const (
	detourName     = "detour"
	detourTable    = 90
	detourPriority = 90     // before the rules of a cut, which still hold for what comes back
	detourQueue    = 16_384 // packets; more are lost, as in any router
	largestPacket  = 65_536 // bytes
)

// openDetour makes the device and the table of routes that leads to it.
func (r *router) openDetour() (*detour, error) {
	d := &detour{delay: map[[2]netip.Addr]impairment{}, queue: make(chan packet, detourQueue)}
	err := inNetwork(r.ns, func() (err error) {
		d.tun, err = newTun(detourName, unix.IFF_TUN)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open detour: %w", err)
	}
	link, err := r.nl.LinkByName(detourName)
	if err == nil {
		err = r.nl.LinkSetUp(link)
	}
	if err == nil {
		err = r.nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Table: detourTable, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}})
	}
	if err != nil {
		d.tun.Close()
		return nil, fmt.Errorf("route to detour: %w", err)
	}
	d.done.Go(d.take)
	d.done.Go(d.giveBack)
	return d, nil
}

func (d *detour) close() {
	d.tun.Close()
	d.done.Wait()
}

// set impairs one way; an empty impairment ends that.
func (d *detour) set(way [2]netip.Addr, i impairment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay[way] = i
}

// take reads packets until the device is closed.
func (d *detour) take() {
	defer close(d.queue)
	buf := make([]byte, largestPacket)
	for {
		n, err := d.tun.Read(buf)
		if errors.Is(err, os.ErrClosed) || n == 0 {
			return
		}
		if due, ok := d.judge(buf[:n]); err == nil && ok {
			select {
			case d.queue <- packet{due, append([]byte(nil), buf[:n]...)}:
			default:
			}
		}
	}
}

// judge says when a packet goes on, if it does.
func (d *detour) judge(data []byte) (due time.Time, ok bool) {
	const ipv4Header = 20 // bytes, RFC 791: addresses are the last eight
	if len(data) < ipv4Header {
		return due, false
	}
	way := [2]netip.Addr{netip.AddrFrom4([4]byte(data[12:16])), netip.AddrFrom4([4]byte(data[16:20]))}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.delay[way]
	return time.Now().Add(i.delay), rand.Float64() >= i.loss
}

// giveBack writes packets when they are due, in the order they came: all ways
// share one queue, so a packet waits for an earlier one that is delayed longer.
func (d *detour) giveBack() {
	for p := range d.queue {
		time.Sleep(time.Until(p.due))
		d.tun.Write(p.data) // the device is down or the packet is not wanted: lost
	}
}

// impair leads what goes from one host to another over the detour, or straight
// again.
func (r *router) impair(from *Host, to netip.Addr, i impairment) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	way := [2]netip.Addr{from.Addr, to}
	on := i != impairment{}
	if r.detour == nil {
		if !on {
			return nil
		}
		if r.detour, err = r.openDetour(); err != nil {
			return err
		}
	}
	r.detour.set(way, i)
	if r.detoured[way] == on {
		return nil
	}
	rule := netlink.NewRule()
	// Only what comes from the host: what comes back from the detour goes on.
	rule.Priority, rule.Table, rule.IifName, rule.Src, rule.Dst = detourPriority, detourTable, portName(from.Name), single(from.Addr), single(to)
	change := r.nl.RuleDel
	if on {
		change = r.nl.RuleAdd
	}
	if err := change(rule); err != nil {
		return fmt.Errorf("change rule for %s to %s: %w", from.Addr, to, err)
	}
	r.detoured[way] = on
	return nil
}

// CanImpair tells whether this machine has the device that Impair needs.
func CanImpair() bool {
	_, err := os.Stat(tunDevice)
	return err == nil
}

// Impair makes what goes between two hosts, both ways, arrive delay later, and
// loses that share of its packets. Heal ends it.
func (l *Lab) Impair(a, b *Host, delay time.Duration, loss float64) {
	l.t.Helper()
	l.must(l.net.impair(a, b.Addr, impairment{delay, loss}))
	l.must(l.net.impair(b, a.Addr, impairment{delay, loss}))
}

// Reset breaks every TCP connection between two hosts, as a middlebox that lost
// its state does: each end gets an error. It tells how many there were.
func (l *Lab) Reset(a, b *Host) (n int) {
	l.t.Helper()
	l.must(a.inNetwork(func() (err error) {
		n, err = destroy(b.Addr)
		return err
	}))
	return n
}

// destroy breaks this namespace's connections to a peer, sock_diag(7).
func destroy(peer netip.Addr) (n int, err error) {
	list, err := netlink.SocketDiagTCP(unix.AF_INET)
	if err != nil {
		return 0, fmt.Errorf("list connections: %w", err)
	}
	for _, s := range list {
		if !s.ID.Destination.Equal(peer.AsSlice()) {
			continue
		}
		local := &net.TCPAddr{IP: s.ID.Source, Port: int(s.ID.SourcePort)}
		remote := &net.TCPAddr{IP: s.ID.Destination, Port: int(s.ID.DestinationPort)}
		switch err := netlink.SocketDestroy(local, remote); {
		case err == nil:
			n++
		case !errors.Is(err, unix.ENOENT): // it ended meanwhile
			return n, fmt.Errorf("destroy connection %v to %v: %w", local, remote, err)
		}
	}
	return n, nil
}
