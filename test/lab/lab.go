package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Lab is some hosts and the network between them.
type Lab struct {
	t     testing.TB
	net   *router
	hosts []*Host
	files []file

	virtualInit func() (string, error) // the program for process 1 of virtual machines

	mu       sync.Mutex
	programs []*Program
}

// file is one to be put into every host.
type file struct{ Path, Source string }

type config struct {
	files   []file
	origin  bool
	virtual map[string]Virtual
}

// Option changes what New makes.
type Option func(*config)

// File copies the machine's file source, with its mode, to path in every host.
func File(path, source string) Option {
	return func(c *config) { c.files = append(c.files, file{path, source}) }
}

// Origin lets the first host see the machine's root file system, read-only but
// for its own /tmp, /run, /var/lib and /etc, because a program that is started
// there needs its libraries. The other hosts have nothing of it.
func Origin() Option { return func(c *config) { c.origin = true } }

const maxHosts = 250

var labs atomic.Uint32 // numbers the networks of this process

// New makes n hosts named a, b, c and so on. They are removed when the test
// ends. The test is skipped where the right to make namespaces is missing.
func New(t testing.TB, n int, options ...Option) *Lab {
	t.Helper()
	needNamespaces(t)
	c := config{virtual: map[string]Virtual{}}
	for _, o := range options {
		o(&c)
	}
	l, err := build(t, n, c)
	if l != nil {
		t.Cleanup(l.close)
	}
	if err != nil {
		t.Fatalf("make lab: %v", err)
	}
	return l
}

// build returns what there is of a lab also on error, for it to be closed.
func build(t testing.TB, n int, c config) (*Lab, error) {
	if n < 1 || n > maxHosts {
		return nil, fmt.Errorf("%d hosts: want 1 to %d", n, maxHosts)
	}
	files, err := absolute(c.files)
	if err != nil {
		return nil, err
	}
	network, err := newRouter(byte(labs.Add(1) % maxHosts))
	if err != nil {
		return nil, err
	}
	l := &Lab{t: t, net: network, files: files}
	l.virtualInit = sync.OnceValues(func() (string, error) { return buildInit(t.TempDir()) })
	for i := range n {
		h := &Host{Name: hostName(i), Addr: network.addr(i), lab: l, origin: c.origin && i == 0}
		if v, ok := c.virtual[h.Name]; ok {
			h.virtual = &v
		}
		l.hosts = append(l.hosts, h)
	}
	return l, l.each((*Host).PowerOn)
}

func absolute(files []file) ([]file, error) {
	files = slices.Clone(files)
	for i, f := range files {
		source, err := filepath.Abs(f.Source)
		if err != nil {
			return nil, err
		}
		files[i].Source = source
	}
	return files, nil
}

// each does f to all hosts at once.
func (l *Lab) each(f func(*Host) error) error {
	errs := make([]error, len(l.hosts))
	var all sync.WaitGroup
	for i, h := range l.hosts {
		all.Go(func() { errs[i] = f(h) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// hostName is a to z, then aa, ab and so on.
func hostName(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return hostName(i/26-1) + hostName(i%26)
}

// Host is the host of that name; the test ends when there is none.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	for _, h := range l.hosts {
		if h.Name == name {
			return h
		}
	}
	l.t.Fatalf("no host %q in the lab", name)
	return nil
}

// Hosts is all of them, in order.
func (l *Lab) Hosts() []*Host { return slices.Clone(l.hosts) }

// hostsFile is /etc/hosts of every host.
func (l *Lab) hostsFile() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, h := range l.hosts {
		fmt.Fprintf(&b, "%s %s\n", h.Addr, h.Name)
	}
	return b.String()
}

// close removes everything and waits for it to be gone.
func (l *Lab) close() {
	if err := l.each((*Host).switchOff); err != nil {
		l.t.Errorf("remove lab: %v", err)
	}
	for _, p := range l.programs {
		p.Wait()
	}
	for _, h := range l.hosts {
		h.forget()
	}
	if err := l.net.close(); err != nil {
		l.t.Errorf("remove network of lab: %v", err)
	}
}

// hostNamespaces is what a host has of its own.
const hostNamespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET |
	syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// tried is whether namespaces can be made, found out once.
var tried = sync.OnceValue(func() error {
	try := exec.Command(self)
	try.Args = []string{roleNone}
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: hostNamespaces}
	return try.Run()
})

func needNamespaces(t testing.TB) {
	t.Helper()
	err := tried()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("no right to make namespaces here (CAP_SYS_ADMIN, as root has): %v", err)
	}
	if err != nil {
		t.Fatalf("try namespaces: %v", err)
	}
}
