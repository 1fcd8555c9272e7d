package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"popcorn/internal/sys"
)

// Virtual is what a host that is a virtual machine is made of.
type Virtual struct {
	Kernel Kernel
	CPU    string            // as QEMU calls it; "" for one whose instructions most hosts have
	Memory int               // MiB, 0 for what popcorn and small programs need
	Files  map[string]string // what it has besides, by path: files of the machine
}

// VM makes the host of that name a virtual machine with a kernel of its own, one
// emulated processor and everything in memory, gone when it is switched off.
// It can be neither frozen nor used with Dial and Listen, and its programs get no
// files but the three streams.
func VM(name string, v Virtual) Option {
	v.CPU, v.Memory = cmp.Or(v.CPU, plainCPU), cmp.Or(v.Memory, plainMemory)
	return func(c *config) { c.virtual[name] = v }
}

// What a machine is like that nothing else was said of. The processor has what
// x86-64-v3 has and no more extended state than that takes.
const (
	plainCPU    = "Haswell-noTSX"
	plainMemory = 512
)

const emulator = "qemu-system-x86_64"

// needVirtual tells what is missing for virtual machines.
func needVirtual() error {
	if _, err := exec.LookPath(emulator); err != nil {
		return fmt.Errorf("%w; install Debian's package qemu-system-x86", err)
	}
	if _, err := os.Stat(tunDevice); err != nil {
		return fmt.Errorf("%w; load the kernel module tun, or give a container --device /dev/net/tun", err)
	}
	return nil
}

// Bounds of what a virtual machine does. They are long because it is slow when the
// machine is busy.
const (
	bootLimit  = 4 * time.Minute
	powerLimit = 2 * time.Minute
)

// virtualPort is where process 1 of a virtual machine takes commands. Everybody in
// the lab's network can reach it.
const virtualPort = 1

var errVirtual = errors.New("not with a virtual machine")

// virtual is a host that runs in QEMU.
type virtual struct {
	host    *Host
	cmd     *exec.Cmd
	gone    chan struct{} // closed when QEMU has ended
	console *console
	doors   *net.UnixListener
	life    context.Context // until it is switched off
	end     context.CancelFunc
	all     sync.WaitGroup // goroutines
}

func (v *virtual) doorway() string            { return v.doors.Addr().String() }
func (v *virtual) network() (*os.File, error) { return nil, errVirtual }
func (v *virtual) kept() map[string]*os.File  { return nil }

// bootVirtual is what process 1 of a virtual machine is told.
type bootVirtual struct {
	bootConfig
	Addr, Gateway netip.Addr
}

const bootFile = "/lab.json"

func (h *Host) startVirtual(c bootConfig) (machine, error) {
	dir, err := os.MkdirTemp("", "popcorn-vm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // nothing is read from there once it runs
	image := filepath.Join(dir, "initrd")
	if err := h.writeInitrd(image, c); err != nil {
		return nil, err
	}
	tap, err := h.lab.net.tap(h.Name, h.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer tap.Close()
	doors, err := listenForDoors()
	if err != nil {
		return nil, err
	}
	v := &virtual{host: h, gone: make(chan struct{}), doors: doors}
	v.life, v.end = context.WithCancel(context.Background())
	if err := v.start(image, tap); err != nil {
		v.end()
		doors.Close()
		return nil, err
	}
	if err := v.booted(); err != nil {
		v.stop()
		return nil, err
	}
	v.all.Go(v.serve)
	return v, nil
}

// writeInitrd makes the machine's file system, before it is laid out by process 1.
func (h *Host) writeInitrd(path string, c bootConfig) error {
	program, err := h.lab.virtualInit()
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := newInitrd(f)
	r.copy("/init", program)
	for _, name := range modules {
		if m := filepath.Join(h.virtual.Kernel.dir, name+".ko"); exists(m) {
			r.copy(moduleFile(name), m)
		}
	}
	for _, file := range c.Files {
		r.copy(file.Path, file.Source)
	}
	for name, source := range h.virtual.Files {
		r.copy(name, source)
	}
	c.Files = nil
	text, err := json.Marshal(bootVirtual{c, h.Addr, h.lab.net.gateway()})
	if err != nil {
		return err
	}
	r.file(bootFile, text, 0o644)
	return r.close()
}

// buildInit compiles process 1 of virtual machines into a folder.
func buildInit(dir string) (string, error) {
	program := filepath.Join(dir, "vminit")
	build := exec.Command("go", "build", "-o", program, "popcorn/test/lab/vminit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build process 1 of virtual machines: %w\n%s", err, out)
	}
	return program, nil
}

// start starts QEMU. It dies with the test: with the thread that started it, which
// therefore is kept.
func (v *virtual) start(initrd string, tap *os.File) error {
	of := v.host.virtual
	v.cmd = exec.Command(emulator, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-M", "q35", "-accel", "tcg", "-cpu", of.CPU, "-smp", "1", "-m", strconv.Itoa(of.Memory),
		"-kernel", filepath.Join(of.Kernel.dir, "vmlinuz"), "-initrd", initrd, "-append", "console=ttyS0 panic=-1 quiet",
		"-netdev", "tap,id=net,fd=3", "-device", "virtio-net-pci,netdev=net,romfile=")
	v.console = newConsole()
	v.cmd.Stdout, v.cmd.Stderr, v.cmd.ExtraFiles = v.console, v.console, []*os.File{tap}
	v.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	started := make(chan error, 1)
	v.all.Go(func() {
		onThread(func() error {
			defer v.end() // its end of connections says nothing any more
			defer close(v.gone)
			err := v.cmd.Start()
			started <- err
			if err == nil {
				v.cmd.Wait() // and for the console's end
			}
			return nil
		})
	})
	return <-started
}

// booted waits until process 1 has said on the console that it is ready.
func (v *virtual) booted() error {
	late := time.NewTimer(bootLimit)
	defer late.Stop()
	select {
	case <-v.console.ready:
		return nil
	case <-v.gone:
		return fmt.Errorf("boot Linux %s: it ended; its console:\n%s", v.host.virtual.Kernel.Series, v.console.tail())
	case <-late.C:
		return fmt.Errorf("boot Linux %s: not ready after %v; its console:\n%s", v.host.virtual.Kernel.Series, bootLimit, v.console.tail())
	}
}

// stop cuts its power.
func (v *virtual) stop() {
	v.doors.Close()
	v.end()
	v.cmd.Process.Kill()
	v.all.Wait()
}

// shutDown lets it end by itself, as a person would, and waits for that.
func (v *virtual) shutDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), powerLimit)
	defer cancel()
	// It may be gone before it has answered.
	out, err := v.host.Command(ctx, virtualInit, doPowerOff).CombinedOutput()
	select {
	case <-v.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut host %s down: %w: %s; it is still there after %v; its console:\n%s", v.host.Name, err, out, powerLimit, v.console.tail())
	}
}

// tap lays a cable to a virtual machine. It lasts as long as the file.
func (r *router) tap(name string, addr netip.Addr) (*os.File, error) {
	var file *os.File
	err := inNetwork(r.ns, func() (err error) {
		file, err = newTun(portName(name), unix.IFF_TAP|unix.IFF_VNET_HDR)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make tap: %w", err)
	}
	port, err := r.nl.LinkByName(portName(name))
	if err == nil {
		err = r.attach(port, name, addr)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ask has process 1 of the machine do something, and returns what it printed.
func (v *virtual) ask(input []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(v.life, powerLimit)
	defer cancel()
	return answerOf(v.host.Command(ctx, append([]string{virtualInit}, args...)...), input)
}

func (v *virtual) processes() ([]Process, error) {
	out, err := v.ask(nil, doProcesses)
	if err != nil {
		return nil, err
	}
	var list []Process
	return list, json.Unmarshal(out, &list)
}

func (v *virtual) signal(p Process, sig sys.Signal) error {
	_, err := v.ask(nil, doSignal, strconv.Itoa(p.PID), strconv.Itoa(int(sig)))
	return err
}

func (v *virtual) readFile(name string) ([]byte, error) { return v.ask(nil, doRead, name) }

func (v *virtual) writeFile(name string, data []byte, mode os.FileMode) error {
	_, err := v.ask(data, doWrite, name, strconv.FormatUint(uint64(mode), 8))
	return err
}
