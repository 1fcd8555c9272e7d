package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// router is the network between the hosts: a namespace with a cable to each. It
// routes rather than bridges, because a routing rule drops silently what goes
// from one host to another, with nothing but what every kernel has.
type router struct {
	subnet byte
	ns     *os.File
	nl     *netlink.Handle

	mu       sync.Mutex
	cut      map[[2]netip.Addr]bool // from, to
	detour   *detour                // nil until something is impaired
	detoured map[[2]netip.Addr]bool
}

// gateway is the router's address on every cable.
func (r *router) gateway() netip.Addr { return netip.AddrFrom4([4]byte{10, 90, r.subnet, 254}) }

func (r *router) addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 90, r.subnet, byte(i + 1)})
}

func newRouter(subnet byte) (*router, error) {
	ns, err := newNetwork()
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	r := &router{subnet: subnet, ns: ns, cut: map[[2]netip.Addr]bool{}, detoured: map[[2]netip.Addr]bool{}}
	if r.nl, err = netlinkIn(ns); err != nil {
		ns.Close()
		return nil, err
	}
	// What goes to a host that is off or unplugged is lost, not answered.
	nowhere := &netlink.Route{Type: unix.RTN_BLACKHOLE, Dst: &net.IPNet{IP: net.IP{10, 90, subnet, 0}, Mask: net.CIDRMask(24, 32)}}
	if err := r.nl.RouteAdd(nowhere); err != nil {
		r.close()
		return nil, fmt.Errorf("add route to nowhere: %w", err)
	}
	return r, nil
}

// close ends the namespace. The handle must not be used after: without its
// socket it would speak to the machine's network.
func (r *router) close() error {
	if r.detour != nil {
		r.detour.close()
	}
	r.nl.Close()
	return r.ns.Close()
}

func netlinkIn(ns *os.File) (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink in namespace: %w", err)
	}
	return h, nil
}

// onThread runs f on a thread of its own that ends afterwards, so that f may
// change what belongs to a thread. Go starts no other thread from a locked one.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

// newNetwork is a network namespace that forwards.
func newNetwork() (ns *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return err
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// inNetwork runs f where the sockets it makes belong to the namespace.
func inNetwork(ns *os.File, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

func single(a netip.Addr) *net.IPNet { return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)} }

func portName(host string) string { return "to-" + host }

// connect lays a cable to a host's namespace.
func (r *router) connect(name string, addr netip.Addr, ns *os.File) error {
	port := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())}
	port.Name = portName(name)
	if err := r.nl.LinkAdd(port); err != nil {
		return fmt.Errorf("add cable: %w", err)
	}
	if err := r.attach(port, name, addr); err != nil {
		return err
	}
	h, err := netlinkIn(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	return configureEnd(h, addr, r.gateway())
}

// attach sets up the router's end of a new cable.
func (r *router) attach(port netlink.Link, name string, addr netip.Addr) error {
	if err := r.nl.AddrAdd(port, &netlink.Addr{IPNet: single(r.gateway())}); err != nil {
		return fmt.Errorf("give router an address: %w", err)
	}
	return r.plug(name, addr)
}

// configureEnd sets up a host's end.
func configureEnd(h *netlink.Handle, addr, gateway netip.Addr) error {
	for _, name := range []string{"lo", "eth0"} {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find link %s: %w", name, err)
		}
		if name != "lo" {
			if err := h.AddrAdd(link, &netlink.Addr{IPNet: single(addr)}); err != nil {
				return fmt.Errorf("give %s an address: %w", name, err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	return routeOut(h, gateway)
}

func routeOut(h *netlink.Handle, gateway netip.Addr) error {
	link, err := h.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find link: %w", err)
	}
	index := link.Attrs().Index
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Dst: single(gateway), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Gw: gateway.AsSlice()},
	} {
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("add route %v: %w", route, err)
		}
	}
	return nil
}

// plug sets the router's end of a cable up, with the way to the host.
func (r *router) plug(name string, addr netip.Addr) error {
	link, err := r.nl.LinkByName(portName(name))
	if err != nil {
		return fmt.Errorf("find cable to %s: %w", name, err)
	}
	if err := r.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set cable to %s up: %w", name, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(addr), Scope: netlink.SCOPE_LINK}
	if err := r.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("add route to %s: %w", name, err)
	}
	return nil
}

func (r *router) unplug(name string) error {
	link, err := r.nl.LinkByName(portName(name))
	if err != nil {
		return fmt.Errorf("find cable to %s: %w", name, err)
	}
	return r.nl.LinkSetDown(link)
}

// disconnect removes a host's cable; true also for the host's end.
func (r *router) disconnect(name string) error {
	link, err := r.nl.LinkByName(portName(name))
	if err != nil {
		return fmt.Errorf("find cable to %s: %w", name, err)
	}
	return r.nl.LinkDel(link)
}

// drop makes the router drop silently what goes from one address to another,
// or forward it again.
func (r *router) drop(from, to netip.Addr, on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]netip.Addr{from, to}
	if r.cut[key] == on {
		return nil
	}
	rule := netlink.NewRule()
	rule.Priority, rule.Type, rule.Src, rule.Dst = 100, unix.RTN_BLACKHOLE, single(from), single(to)
	change := r.nl.RuleDel
	if on {
		change = r.nl.RuleAdd
	}
	if err := change(rule); err != nil {
		return fmt.Errorf("change rule for %s to %s: %w", from, to, err)
	}
	r.cut[key] = on
	return nil
}

// Cut loses silently all that goes between two hosts, both ways.
func (l *Lab) Cut(a, b *Host) {
	l.t.Helper()
	l.CutOneWay(a, b)
	l.CutOneWay(b, a)
}

// CutOneWay loses what goes from one host to the other; the other way is open.
func (l *Lab) CutOneWay(from, to *Host) {
	l.t.Helper()
	l.must(l.net.drop(from.Addr, to.Addr, true))
}

// Heal mends what Cut, CutOneWay and Impair did between two hosts.
func (l *Lab) Heal(a, b *Host) {
	l.t.Helper()
	l.Impair(a, b, 0, 0)
	l.must(l.net.drop(a.Addr, b.Addr, false))
	l.must(l.net.drop(b.Addr, a.Addr, false))
}

// Unplug pulls the host's cable: it sees its carrier go and reaches nobody.
func (h *Host) Unplug() {
	h.lab.t.Helper()
	h.lab.must(h.lab.net.unplug(h.Name))
}

// Plug puts the cable back.
func (h *Host) Plug() {
	h.lab.t.Helper()
	h.lab.must(h.lab.net.plug(h.Name, h.Addr))
}

func (l *Lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}
