package job

import (
	"os"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
)

// A core dump is written by the kernel at home, which takes memory that is away
// for zeros: a dumping process takes no faults (PF_DUMPCORE, fs/userfaultfd.c).
// So before a signal may end a program with one, everything comes home.

// dumpingSignals end a program with a core dump (signal(7)).
var dumpingSignals = map[sys.Signal]bool{sys.SIGQUIT: true, sys.SIGILL: true, sys.SIGTRAP: true, sys.SIGABRT: true,
	sys.SIGBUS: true, sys.SIGFPE: true, sys.SIGSEGV: true, sys.SIGXCPU: true, sys.SIGXFSZ: true, sys.SIGSYS: true}

// coreDump is the preparation of one.
type coreDump struct {
	ready bool
	then  []func() // lets the signals go on
}

// dumps tells whether sig ends the program with a core dump that needs what is
// away.
func (o *origin) dumps(t *thread, sig sys.Signal) bool {
	if !o.distributed || !dumpingSignals[sig] || o.butlerEnds {
		return false
	}
	s := o.signalSets(t)
	return !has(s["SigCgt"]|s["SigIgn"], sig) && dumpsCores(o.proc.PID)
}

// dumpsCores tells whether a process that such a signal ends leaves a core dump;
// to a program that takes them the limit means nothing (core(5)).
func dumpsCores(pid int) bool {
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	if len(pattern) > 0 && pattern[0] == '|' {
		return true
	}
	limit, err := sys.CoreLimit(pid)
	return err == nil && limit > 0
}

// dumpFirst keeps t stopped on the fatal signal sig until everything is home;
// false when there is nothing to wait for.
func (o *origin) dumpFirst(t *thread, sig sys.Signal) bool {
	if sig == 0 || o.core.ready || !o.dumps(t, sig) {
		return false
	}
	o.core.then = append(o.core.then, func() { o.resume(t, sig) })
	if len(o.core.then) == 1 {
		o.threadsHome(func() { o.memoryHome() })
	}
	return true
}

// corePatience is how long threads may take to come home to be dumped.
const corePatience = 2 * time.Second

// threadsHome calls f once no thread is away, or it took too long. One in a
// system call is seen in it: its state is with its shadow.
func (o *origin) threadsHome(f func()) {
	left := 1
	done := func(error) {
		if left--; left == 0 {
			f()
		}
	}
	for _, t := range o.threads {
		if t.where == away || t.where == calling {
			left++
			o.moveTo(t, coherence.Home, done)
		}
	}
	o.loop.after(corePatience, func() {
		if left > 0 {
			left = 1
			done(nil)
		}
	})
	done(nil)
}

// memoryHome lets the fatal signals go on when home can read all memory. Nobody
// writes it any more: the hold ends with the program.
func (o *origin) memoryHome() {
	if o.pager == nil {
		return
	}
	o.pager.HoldAll(coherence.Read, func(uint64) {
		o.loop.post(func() {
			o.core.ready = true
			for _, f := range o.core.then {
				f()
			}
			o.core.then = nil
		})
	})
}
