package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// bootConfig is the first line of process 1's standard input.
type bootConfig struct {
	Name   string
	Hosts  string // /etc/hosts
	Files  []file
	Origin bool
	Disk   map[string]string // folders and where their content of an earlier life is
}

const ready = "ready"

// runInit is process 1 of a host. It answers one line, then serves commands
// until its standard input ends, which it does when the test dies; the kernel
// then kills the rest of its process namespace.
func runInit() int {
	// Whoever is on the host cannot end it by a signal. Not ignored: commands
	// would inherit that.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	s := &spawner{children: map[int]chan int{}}
	go s.bury()
	in := bufio.NewReader(os.Stdin)
	if err := boot(in); err != nil {
		fmt.Println(err)
		return 1
	}
	inherited := os.NewFile(3, "doors")
	doors, err := net.FileListener(inherited)
	// By this, not by its number: else the collector would close whatever has that by then.
	inherited.Close()
	if err != nil {
		fmt.Println("listen to doors:", err)
		return 1
	}
	go s.serve(doors.(*net.UnixListener))
	fmt.Println(ready)
	io.Copy(io.Discard, in)
	return 0
}

func boot(in *bufio.Reader) error {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var c bootConfig
	if err := json.Unmarshal(line, &c); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := syscall.Sethostname([]byte(c.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	root, err := buildRoot(c)
	if err != nil {
		return err
	}
	return changeRoot(root)
}

// changeRoot makes dir the root and takes away everything else, pivot_root(2).
func changeRoot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("enter new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount old root: %w", err)
	}
	return os.Chdir("/")
}
