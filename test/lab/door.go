package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"popcorn/internal/sys"
)

// A command is a child of its host's process 1, as on a machine. What the test
// holds is a door: a process outside that hands its streams to process 1 over a
// socket and stands for the command. The socket lies in the machine's network,
// so that nobody on a host can reach it.

// order is what a door asks of process 1. A byte with the descriptors precedes
// it, lines with signals follow; the end of the stream kills the command.
type order struct {
	Argv, Env []string
	Files     []int // numbers the descriptors are to have
}

// news is what process 1 tells the door: first PID or Error, then Done.
type news struct {
	PID   int
	Error string
	Done  bool
	Code  int // with Done or Error
}

// passedOn are the signals a door hands to its command.
var passedOn = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT,
	unix.SIGWINCH, unix.SIGTSTP,
}

// standFor is the door: args are the socket, the descriptor for the report and
// the command.
func standFor(args []string) int {
	report := openReport(args[1])
	files := append([]int{0, 1, 2}, sys.Inherited()...)
	signals := catch()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return complain(exitOurs, fmt.Errorf("reach host: %w", err))
	}
	if err := send(c, order{Argv: args[2:], Env: os.Environ(), Files: files}); err != nil {
		return complain(exitOurs, fmt.Errorf("send command to host: %w", err))
	}
	// The command's end of a stream must be the last one.
	for fd := range 2 {
		sys.Close(fd)
	}
	for _, fd := range files[3:] {
		sys.Close(fd)
	}
	go passOn(signals, c) // until this process exits
	return follow(c, report)
}

// openReport is taken from what the command inherits.
func openReport(arg string) *os.File {
	fd, err := strconv.Atoi(arg)
	if err != nil {
		return nil // writing to it does nothing
	}
	sys.SetCloexec(fd, true)
	return os.NewFile(uintptr(fd), "report")
}

func catch() chan os.Signal {
	signals := make(chan os.Signal, 64)
	for _, s := range passedOn {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

func passOn(signals chan os.Signal, c net.Conn) {
	for s := range signals {
		fmt.Fprintln(c, int(s.(sys.Signal)))
	}
}

func send(c *net.UnixConn, o order) error {
	if _, _, err := c.WriteMsgUnix([]byte{0}, syscall.UnixRights(o.Files...), nil); err != nil {
		return err
	}
	return json.NewEncoder(c).Encode(o)
}

// follow reports what becomes of the command and returns its code. The host's
// end is the command's, by SIGKILL.
func follow(c net.Conn, report *os.File) int {
	for in := json.NewDecoder(c); ; {
		var n news
		switch err := in.Decode(&n); {
		case errors.Is(err, io.EOF):
			return 128 + int(unix.SIGKILL)
		case err != nil:
			return complain(128+int(unix.SIGKILL), fmt.Errorf("wait for command: %w", err))
		case n.Error != "":
			fmt.Fprint(report, "\n", n.Error)
			return complain(n.Code, errors.New(n.Error))
		case n.Done:
			return n.Code
		}
		fmt.Fprint(report, n.PID)
		report.Close()
	}
}

// receive is the other end of send; the descriptors are the caller's.
func receive(c *net.UnixConn) (o order, in *bufio.Reader, fds []int, err error) {
	one, oob := make([]byte, 1), make([]byte, syscall.CmsgSpace(4*253)) // SCM_MAX_FD, unix(7)
	n, oobn, _, _, err := c.ReadMsgUnix(one, oob)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return o, nil, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return o, nil, nil, err
	}
	for i := range messages {
		some, err := syscall.ParseUnixRights(&messages[i])
		fds = append(fds, some...)
		if err != nil {
			return o, nil, fds, err
		}
	}
	in = bufio.NewReader(c)
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err == nil && len(fds) != len(o.Files) {
		err = fmt.Errorf("%d descriptors came, %d were announced", len(fds), len(o.Files))
	}
	return o, in, fds, err
}
