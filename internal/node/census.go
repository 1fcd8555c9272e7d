package node

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// process names a process for good, as far as this boot goes: its number and
// when it was started, in ticks.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// present is a deputy that runs. Its pidfd is to be closed.
type present struct {
	process
	uid   uint32
	key   string
	pidfd int
}

// crowd is the deputies of a census.
type crowd []present

func (c crowd) close() {
	for _, p := range c {
		sys.Close(p.pidfd)
	}
}

// await waits until all have ended, and returns how many have not.
func (c crowd) await(within time.Duration) (left int) {
	end := time.Now().Add(within)
	for _, p := range c {
		if !sys.AwaitPidfd(p.pidfd, max(time.Until(end), 0)) {
			left++
		}
	}
	return left
}

// census finds the deputies of this daemon that run, those of its earlier lives
// too. They tell by their arguments whose they are: a host may have daemons of
// several users. What they execute is no sign: popcorn may have been replaced, or
// have moved, and a deputy that was missed would be taken for gone. Who pretends
// to be one only gets himself a signal.
func (a *deputies) census() (crowd, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for deputies: %w", err)
	}
	var out crowd
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := a.meet(pid); ok {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// meet opens a deputy of ours and looks again at what it opened: the number may
// have passed to another process in between, but not while that one lives.
func (a *deputies) meet(pid int) (present, bool) {
	key, ok := a.isOurs(pid)
	if !ok {
		return present{}, false
	}
	fd, err := sys.PidfdOpen(pid, 0)
	if err != nil {
		return present{}, false
	}
	p := present{process{PID: pid}, 0, key, fd}
	p.Start, err = startOfProcess(pid)
	if err == nil {
		p.uid, err = userOfProcess(pid)
	}
	mine := os.Geteuid() == 0 || int(p.uid) == os.Geteuid()
	again, ok := a.isOurs(pid)
	if err != nil || !mine || !ok || again != key || sys.AwaitPidfd(fd, 0) {
		sys.Close(fd)
		return present{}, false
	}
	return p, true
}

// isOurs tells whether the process pid says that it is a deputy of this daemon,
// and which.
func (a *deputies) isOurs(pid int) (key string, ok bool) {
	text, err := os.ReadFile(procFile(pid, "cmdline"))
	if err != nil {
		return "", false
	}
	argv := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	n := len(argv)
	if n < 4 || argv[1] != "deputy" || argv[n-1] != a.mark {
		return "", false
	}
	return argv[n-2], true
}

func procFile(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

var errProc = errors.New("unknown format")

// startOfProcess is field 22 of proc_pid_stat(5).
func startOfProcess(pid int) (uint64, error) {
	name := procFile(pid, "stat")
	f, err := sys.ReadStat(name)
	if err != nil {
		return 0, err
	}
	if len(f) <= 22 {
		return 0, fmt.Errorf("read %s: %w", name, errProc)
	}
	return strconv.ParseUint(f[22], 10, 64)
}

// userOfProcess is its effective user: its files in /proc may be root's.
func userOfProcess(pid int) (uint32, error) {
	name := procFile(pid, "status")
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Uid:" {
			uid, err := strconv.ParseUint(f[2], 10, 32)
			return uint32(uid), err
		}
	}
	return 0, fmt.Errorf("read %s: %w", name, errProc)
}

// thisBoot tells one start of the machine from another.
func thisBoot() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("ask which boot this is: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
