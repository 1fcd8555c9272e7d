package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// runVirtual is process 1: it makes a host of the machine and takes commands.
func runVirtual() error {
	text, err := os.ReadFile(bootFile)
	if err != nil {
		return err
	}
	var c bootVirtual
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := syscall.Sethostname([]byte(c.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := layOut(c.bootConfig); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	if err := configureEnd(nl, c.Addr, c.Gateway); err != nil {
		return err
	}
	return serveVirtual(net.JoinHostPort(c.Addr.String(), strconv.Itoa(virtualPort)))
}

// layOut mounts what a host has.
func layOut(c bootConfig) error {
	b := &builder{root: "/"}
	b.tinyRoot()
	const quiet = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	b.mount("proc", "/proc", "proc", quiet, "")
	b.mount("sysfs", "/sys", "sysfs", quiet, "")
	b.mount("cgroup", "/sys/fs/cgroup", "cgroup2", quiet, "")
	b.mount("dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755")
	b.do("replace", "/dev/ptmx", func() error { return os.Remove("/dev/ptmx") })
	b.devices("/dev")
	for _, dir := range []string{"/tmp", "/run"} {
		b.mount("lab", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "")
	}
	b.mkdir(0o777|os.ModeSticky, "/tmp")
	b.mkdir(0o755, "/run")
	b.write("/etc/hostname", c.Name+"\n")
	b.write("/etc/hosts", c.Hosts)
	return b.err
}

func moduleFile(name string) string { return "/lib/modules/" + name + ".ko" }

func loadModules() error {
	for _, name := range modules {
		f, err := os.Open(moduleFile(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = unix.FinitModule(int(f.Fd()), "", 0)
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("load module %s: %w", name, err)
		}
	}
	return nil
}

// serveVirtual takes commands for as long as the machine runs.
func serveVirtual(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &spawner{children: map[int]chan int{}}
	go s.bury()
	fmt.Println(consoleReady)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go s.session(c) // until the command has ended
	}
}
