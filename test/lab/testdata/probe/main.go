// Command probe is what the lab's tests run on its hosts: one small static
// program, since the hosts have no other.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

func main() {
	verbs := map[string]func(args []string) error{
		"cat": cat, "processes": processes, "wait": wait, "listen": listen, "dial": dial, "spawn": spawn,
		"exit": exit, "count": count, "signal": onSignal, "name": name, "die": die, "spin": spin,
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cat(args []string) error {
	for _, name := range args {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		os.Stdout.Write(data)
	}
	if len(args) == 0 {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	}
	return nil
}

// processes prints the ids that /proc shows.
func processes([]string) error {
	list, err := filepath.Glob("/proc/[0-9]*")
	for _, p := range list {
		fmt.Println(filepath.Base(p))
	}
	return err
}

// pause returns for no signal: Go's runtime sends its threads some (SIGURG), which may
// come late on a machine that is loaded.
func pause() error {
	for {
		if err := syscall.Pause(); err != syscall.EINTR {
			return err
		}
	}
}

func wait([]string) error {
	fmt.Println("waiting")
	return pause()
}

func name([]string) error {
	host, err := os.Hostname()
	fmt.Println(host, os.Getuid())
	return err
}

// listen serves echo.
func listen(args []string) error {
	l, err := net.Listen(args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go io.Copy(c, c)
	}
}

func dial(args []string) error {
	c, err := net.Dial(args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Fprintln(c, args[2])
	answer, err := bufio.NewReader(c).ReadString('\n')
	fmt.Print(answer)
	return err
}

// spawn leaves n waiting children, in sessions of their own, and waits too.
func spawn(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		c := exec.Command("/proc/self/exe", "wait")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			return err
		}
	}
	fmt.Println("spawned")
	if len(args) > 1 {
		return nil // orphans
	}
	return pause()
}

func exit(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err == nil {
		os.Exit(n)
	}
	return err
}

func die([]string) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) }

// count prints a line for each line it reads.
func count([]string) error {
	in := bufio.NewScanner(os.Stdin)
	for i := 1; in.Scan(); i++ {
		fmt.Println(i)
	}
	return in.Err()
}

func spin([]string) error {
	fmt.Println("spinning")
	for i := 0; ; i++ {
	}
}

// onSignal prints the first signal it gets.
func onSignal([]string) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGTERM)
	fmt.Println("waiting")
	fmt.Println(<-c)
	return nil
}
