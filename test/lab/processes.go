package lab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"popcorn/internal/sys"
)

// Process is one on a host.
type Process struct {
	PID   int // on the host
	Name  string
	State string // one letter, proc_pid_stat(5)

	stopping bool // SIGSTOP is pending

	outer int    // on the machine
	ns    string // its process namespace
}

// Processes lists what runs on the host, its process 1 too.
func (h *Host) Processes() ([]Process, error) {
	m, err := h.running()
	if err != nil {
		return nil, err
	}
	return m.processes()
}

func (m *contained) processes() ([]Process, error) {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init.Process.Pid))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return processesIn(own)
}

// processesIn lists the processes of a namespace.
func processesIn(own string) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var list []Process
	for _, e := range entries {
		outer, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(outer, own); ok {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Process) int { return a.PID - b.PID })
	return list, nil
}

// readProcess is the process if it is there and in the namespace.
func readProcess(outer int, namespace string) (Process, bool) {
	dir := fmt.Sprintf("/proc/%d/", outer)
	// A zombie has no namespace any more.
	if ns, err := os.Readlink(dir + "ns/pid"); err != nil || ns != namespace {
		return Process{}, false
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return Process{}, false
	}
	p := Process{outer: outer, ns: namespace}
	for _, l := range strings.Split(string(status), "\n") {
		switch key, value, _ := strings.Cut(l, ":"); key {
		case "Name":
			p.Name = strings.TrimSpace(value)
		case "State":
			p.State = strings.TrimSpace(value)[:1]
		case "SigPnd", "ShdPnd":
			set, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			p.stopping = p.stopping || set>>(unix.SIGSTOP-1)&1 != 0
		case "NSpid":
			ids := strings.Fields(value)
			p.PID, _ = strconv.Atoi(ids[len(ids)-1])
		}
	}
	return p, p.PID != 0
}

// Kill sends a signal to the process pid of the host.
func (h *Host) Kill(pid int, sig os.Signal) error {
	m, err := h.running()
	if err != nil {
		return err
	}
	list, err := m.processes()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(p Process) bool { return p.PID == pid })
	if i < 0 {
		return fmt.Errorf("signal process %d of host %s: %w", pid, h.Name, unix.ESRCH)
	}
	return m.signal(list[i], sig.(sys.Signal))
}

func (m *contained) signal(p Process, sig sys.Signal) error { return p.signal(sig) }

// signal sends sig to exactly this process.
func (p Process) signal(sig sys.Signal) error {
	fd, err := sys.PidfdOpen(p.outer, 0)
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	// The number may have been given to another since the list was made.
	if now, ok := readProcess(p.outer, p.ns); !ok || now.PID != p.PID {
		return unix.ESRCH
	}
	return sys.PidfdSendSignal(fd, sig)
}

// frozenIn bounds how long Freeze waits for processes to stop.
const frozenIn = time.Second

// Freeze stops every process of the host by SIGSTOP, those too that are made
// meanwhile, and waits for them to stop. One that is in the kernel and waits
// there for another, which was stopped, stops when it leaves; so a thread that
// waits for a page of a userfaultfd. Process 1, which does nothing but start and
// bury commands, is left alone: it must see the end of the test.
func (h *Host) Freeze() error {
	if h.virtual != nil {
		return fmt.Errorf("freeze host %s: %w", h.Name, errVirtual)
	}
	sent := map[int]bool{}
	for end := time.Now().Add(frozenIn); ; time.Sleep(time.Millisecond) { // a stranger's stop is signalled to nobody
		list, err := h.Processes()
		if err != nil {
			return err
		}
		late := time.Now().After(end)
		going := slices.DeleteFunc(list, func(p Process) bool { return p.PID == 1 || sent[p.outer] && p.still(late) })
		if len(going) == 0 {
			return nil
		}
		if late {
			return fmt.Errorf("freeze host %s: still running after %v: %v", h.Name, frozenIn, going)
		}
		for _, p := range going {
			if !sent[p.outer] {
				sent[p.outer] = true
				p.signal(unix.SIGSTOP) // ESRCH: it has ended by itself
			}
		}
	}
}

// still tells whether a process that was sent SIGSTOP does nothing more. Late,
// having it pending is enough.
func (p Process) still(late bool) bool {
	return strings.Contains("TtDZX", p.State) || late && p.stopping
}

// Thaw lets everything on the host go on.
func (h *Host) Thaw() error {
	if h.virtual != nil {
		return fmt.Errorf("thaw host %s: %w", h.Name, errVirtual)
	}
	list, err := h.Processes()
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.PID != 1 {
			p.signal(unix.SIGCONT) // ESRCH: it was killed meanwhile
		}
	}
	return nil
}
