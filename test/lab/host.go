package lab

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"popcorn/internal/sys"
)

// Host is one host of a lab.
type Host struct {
	Name string
	Addr netip.Addr

	lab     *Lab
	origin  bool
	virtual *Virtual // nil for one made of namespaces

	mu   sync.Mutex
	on   machine             // nil while it is off
	disk map[string]*os.File // kept folders of its last life, by path
}

// machine is a host that is switched on.
type machine interface {
	// doorway is where it listens for commands, unix(7), abstract.
	doorway() string
	// network is the host's namespace; an error when that is out of reach.
	network() (*os.File, error)
	processes() ([]Process, error)
	signal(Process, sys.Signal) error
	readFile(name string) ([]byte, error)
	writeFile(name string, data []byte, mode os.FileMode) error
	// stop ends it at once and waits until it is gone; what is kept is still open.
	stop()
	// kept is the folders whose files the host still has after it was off, by path.
	kept() map[string]*os.File
}

// contained is a machine made of namespaces.
type contained struct {
	init  *exec.Cmd // process 1
	life  io.Closer // process 1 lives until this is closed
	doors string
	net   *os.File // namespace
	root  *os.Root
	disk  map[string]*os.File // of kept
}

func (m *contained) doorway() string            { return m.doors }
func (m *contained) network() (*os.File, error) { return m.net, nil }
func (m *contained) kept() map[string]*os.File  { return m.disk }

// kept are the folders whose files a host still has after it was off.
var kept = []string{"/etc", "/var/lib"}

var errOff = errors.New("host is off")

// PowerOn starts a host that is off: nothing runs on it. What was in /etc and
// /var/lib is there again; all else is as in the beginning.
func (h *Host) PowerOn() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on != nil {
		return nil
	}
	m, err := h.start()
	if err != nil {
		return fmt.Errorf("start host %s: %w", h.Name, err)
	}
	h.on = m
	h.forget()
	return nil
}

func (h *Host) start() (machine, error) {
	c := bootConfig{Name: h.Name, Hosts: h.lab.hostsFile(), Files: h.lab.files, Origin: h.origin, Disk: paths(h.disk)}
	if h.virtual != nil {
		return h.startVirtual(c)
	}
	m, err := startContained(c)
	if err != nil {
		return nil, err
	}
	if err := h.lab.net.connect(h.Name, h.Addr, m.net); err != nil {
		m.stop()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return m, nil
}

// PowerOff ends everything on the host at once, as a cut of power does, and
// waits until it is gone. Its connections are not closed: nobody hears of it.
func (h *Host) PowerOff() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on == nil {
		return nil
	}
	m := h.on
	h.on, h.disk = nil, m.kept()
	// The cable first: the dying processes' sockets must not say good-bye. A virtual
	// machine's says nothing, and its cable goes with it.
	var err error
	if h.virtual == nil {
		err = h.lab.net.disconnect(h.Name)
	}
	m.stop()
	if err != nil {
		return fmt.Errorf("disconnect host %s: %w", h.Name, err)
	}
	return nil
}

// switchOff is for the end: where a machine can shut down by itself, it must.
func (h *Host) switchOff() error {
	m, err := h.running()
	if err != nil {
		return nil
	}
	if v, ok := m.(*virtual); ok {
		err = v.shutDown()
	}
	return errors.Join(err, h.PowerOff())
}

// forget closes what is kept of the last life.
func (h *Host) forget() {
	for _, dir := range h.disk {
		dir.Close()
	}
	h.disk = nil
}

// paths tells another process where files are: in our descriptors, so that no
// number can be reused under it.
func paths(files map[string]*os.File) map[string]string {
	list := map[string]string{}
	for name, f := range files {
		list[name] = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
	}
	return list
}

// running is the host's machine, or an error when it is off.
func (h *Host) running() (machine, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on == nil {
		return nil, fmt.Errorf("host %s: %w", h.Name, errOff)
	}
	return h.on, nil
}

func startContained(c bootConfig) (*contained, error) {
	m := &contained{init: exec.Command(self), doors: doorName(), disk: map[string]*os.File{}}
	m.init.Args, m.init.Env, m.init.Stderr = []string{roleInit}, []string{}, os.Stderr
	m.init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: hostNamespaces}
	doors, err := m.listen()
	if err != nil {
		return nil, err
	}
	defer doors.Close()
	m.init.ExtraFiles = []*os.File{doors}
	in, err := m.init.StdinPipe()
	if err != nil {
		return nil, err
	}
	m.life = in
	out, err := m.init.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.init.Start(); err != nil {
		return nil, err
	}
	if err := m.configure(in, out, c); err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

func doorName() string { return "@popcorn-lab-" + rand.Text() }

// listen makes the socket for doors, on this side of the namespaces.
func (m *contained) listen() (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.doors, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

func (m *contained) configure(in io.Writer, out io.Reader, c bootConfig) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("configure process 1: %w", err)
	}
	stuck := time.AfterFunc(startLimit, func() { m.init.Process.Kill() })
	defer stuck.Stop()
	answer, err := bufio.NewReader(out).ReadString('\n')
	if answer = strings.TrimSpace(answer); answer != ready {
		return fmt.Errorf("process 1 says %q: %w", answer, errors.Join(err, errors.New("not ready")))
	}
	return m.open()
}

// open takes hold of the network and of the files.
func (m *contained) open() (err error) {
	proc := fmt.Sprintf("/proc/%d/", m.init.Process.Pid)
	if m.net, err = os.Open(proc + "ns/net"); err != nil {
		return err
	}
	for _, dir := range kept {
		if m.disk[dir], err = os.Open(proc + "root" + dir); err != nil {
			return err
		}
	}
	m.root, err = os.OpenRoot(proc + "root")
	return err
}

// stop kills process 1, and with it all others: the kernel lets us collect it
// only when they are gone (pid_namespaces(7)). The disk stays.
func (m *contained) stop() {
	m.init.Process.Kill()
	m.init.Wait()
	m.life.Close()
	m.net.Close()
	if m.root != nil {
		m.root.Close()
	}
}

// Dial connects from the host to an address, which must be numeric.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.inNetwork(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on the host. An address without a host part is the host's own.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = h.inNetwork(func() (err error) {
		l, err = net.Listen(network, h.local(address))
		return err
	})
	return l, err
}

// ListenPacket is Listen for datagrams.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.inNetwork(func() (err error) {
		c, err = net.ListenPacket(network, h.local(address))
		return err
	})
	return c, err
}

func (h *Host) local(address string) string {
	if strings.HasPrefix(address, ":") {
		return h.Addr.String() + address
	}
	return address
}

func (h *Host) inNetwork(f func() error) error {
	m, err := h.running()
	if err != nil {
		return err
	}
	ns, err := m.network()
	if err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	return inNetwork(ns, f)
}
