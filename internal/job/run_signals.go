package job

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// handledSignals are those that popcorn run acts upon; nearly all it passes on
// to the program. When the program stops or goes on, its supervisor has run do
// the same, so that a shell sees the job as it is.
var handledSignals = []sys.Signal{sys.SIGHUP, sys.SIGINT, sys.SIGQUIT, sys.SIGTERM, sys.SIGUSR1, sys.SIGUSR2,
	sys.SIGALRM, sys.SIGWINCH, sys.SIGTSTP, sys.SIGTTIN, sys.SIGTTOU, sys.SIGCONT}

// fromTerminal tells of signals that the kernel sends only for a terminal, to its
// whole foreground group, the program included.
var fromTerminal = map[sys.Signal]bool{sys.SIGINT: true, sys.SIGQUIT: true, sys.SIGWINCH: true, sys.SIGTSTP: true}

// fatalSignals are those above that end a program which does not expect them.
var fatalSignals = map[sys.Signal]bool{sys.SIGHUP: true, sys.SIGINT: true, sys.SIGQUIT: true, sys.SIGTERM: true,
	sys.SIGUSR1: true, sys.SIGUSR2: true, sys.SIGALRM: true}

func (l *launcher) forward(sig os.Signal) {
	if l.spec.Attach != 0 {
		l.nodes[0].send(fromRun{Detach: true})
		return
	}
	s, ok := sig.(sys.Signal)
	if !ok || s == sys.SIGTTIN || s == sys.SIGTTOU {
		return // the last two concern the whole group at all times
	}
	byKernel, byProcess := sys.Sent(s)
	if !byKernel && !byProcess {
		return
	}
	if l.guest == 0 {
		l.soon = append(l.soon, s)
		return
	}
	if s == sys.SIGCONT && firstThreadState(l.guest) != 't' {
		return // a shell continues the whole group, the program was in it
	}
	if byProcess || !fromTerminal[s] {
		sys.Kill(l.guest, s)
	}
	if fatalSignals[s] {
		l.asked++
		l.nodes[0].send(fromRun{Ask: l.asked})
		l.watch(s, 2)
	}
}

// begun notes that the program runs, and passes on what came before: the terminal's
// too, for its foreground group had no program yet.
func (l *launcher) begun(pid int) {
	l.guest = pid
	for _, s := range l.soon {
		sys.Kill(pid, s)
	}
	l.soon = nil
}

// watch looks after a while whether the program has taken a signal, so often.
func (l *launcher) watch(s sys.Signal, looks int) {
	time.AfterFunc(actPatience, func() {
		select {
		case l.unheard <- unheard{s, looks - 1}:
		case <-l.ended:
		}
	})
}

// actPatience is how long threads that run, or wait for anything but us, take at
// the very most to notice a signal.
const actPatience = 1500 * time.Millisecond

// unheard is a signal that may have been sent to a program none of whose threads
// can run any more.
type unheard struct {
	sig   sys.Signal
	looks int
}

// heard tells whether the job goes on; it does not when a signal that should
// have ended the program long ago was not even looked at, or has its supervisor
// waiting for something that does not come.
func (l *launcher) heard(u unheard) bool {
	open, pending := defaultAction(l.guest, u.sig)
	if !open || !pending && l.answered == l.asked {
		return true
	}
	if u.looks > 0 { // this process may just have been stopped itself
		l.watch(u.sig, u.looks)
		return true
	}
	return false
}

// defaultAction tells whether sig would have its default action, which is to end
// the process, on some thread of it, and whether it is pending.
func defaultAction(pid int, sig sys.Signal) (open, pending bool) {
	s, err := signalSets(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || has(s["SigCgt"]|s["SigIgn"], sig) {
		return false, false
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)) // the pattern is right
	for _, t := range threads {
		if of, err := signalSets(t); err == nil && !has(of["SigBlk"], sig) {
			return true, has(s["ShdPnd"], sig)
		}
	}
	return false, false
}

// signalSets reads the sets of signals in a status file of proc(5).
func signalSets(name string) (map[string]uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sets := map[string]uint64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.HasPrefix(key, "Sig") || strings.HasPrefix(key, "Shd") {
			sets[key], _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64) // SigQ is no set
		}
	}
	return sets, nil
}

// ignoredSignals is what this process was started with ignored (nohup), as bits.
func ignoredSignals() uint64 {
	s, err := signalSets("/proc/self/status")
	if err != nil {
		return 0
	}
	return s["SigIgn"]
}
