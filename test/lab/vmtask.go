package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"popcorn/internal/sys"
)

// virtualInit is process 1 of a virtual machine, and a program there that does
// what the lab asks for.
const virtualInit = "/init"

// What else it does, by its first argument.
const (
	doProcesses = "processes" // prints them
	doSignal    = "signal"    // PID NUMBER
	doRead      = "read"      // FILE
	doWrite     = "write"     // FILE MODE, from standard input
	doPowerOff  = "poweroff"
)

// exitNoFile tells that there is no such file.
const exitNoFile = 3

// answerOf runs a command of process 1's program.
func answerOf(cmd *exec.Cmd, input []byte) ([]byte, error) {
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &errs
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == exitNoFile {
		return nil, os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", cmd.Args[3:], err, errs.Bytes())
	}
	return out, nil
}

// virtualRole is /init on a virtual machine.
func virtualRole() int {
	if os.Getpid() == 1 {
		err := runVirtual()
		fmt.Println("popcorn-lab:", err)
		return 1 // the kernel panics, and QEMU ends
	}
	err := virtualTask(os.Args[1:])
	switch {
	case err == nil:
		return 0
	case errors.Is(err, os.ErrNotExist):
		return exitNoFile
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func virtualTask(args []string) error {
	switch args = append(args, "", "", "")[:3]; args[0] {
	case doProcesses:
		return printProcesses()
	case doSignal:
		pid, err1 := strconv.Atoi(args[1])
		sig, err2 := strconv.Atoi(args[2])
		return errors.Join(err1, err2, sys.Kill(pid, sys.Signal(sig)))
	case doRead:
		f, err := os.Open(args[1])
		if err == nil {
			_, err = io.Copy(os.Stdout, f)
		}
		return err
	case doWrite:
		return writeInput(args[1], args[2])
	case doPowerOff:
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	return fmt.Errorf("no task %q", args[0])
}

func printProcesses() error {
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return err
	}
	list, err := processesIn(own)
	if err != nil {
		return err
	}
	var others []Process
	for _, p := range list {
		if p.PID != os.Getpid() && p.hasMemory() {
			others = append(others, p)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(others)
}

// hasMemory tells processes from the kernel's threads.
func (p Process) hasMemory() bool {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
	return err == nil
}

func writeInput(name, mode string) error {
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, os.FileMode(bits))
}
