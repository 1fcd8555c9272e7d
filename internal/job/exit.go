package job

import (
	"encoding/binary"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// exiting handles a thread about to end, by whatever cause. A dying thread takes
// no faults: what its kernel part will write must be at home, and stay. When the
// whole process dies nobody will read that, and nothing may keep it from dying.
func (o *origin) exiting(t *thread) {
	t.exiting, t.caught = true, nil
	o.releaseFork(t)
	if !o.distributed || o.butlerEnds {
		o.resume0(t)
		return
	}
	if t.call != nil && t.call.hold != 0 {
		o.release(t.call.hold)
		t.call.hold = 0
	}
	if !endsItself(t) {
		o.resume0(t)
		o.hurryExits()
		return
	}
	o.robustPages(t, func(runs []run) {
		if len(runs) == 0 {
			o.exitNow(t)
			return
		}
		t.exitHold = o.pager.Hold(runs, coherence.Write, func(uint64) {
			o.populate(runs)
			o.loop.post(func() { o.exitNow(t) })
		})
	})
}

// endsItself tells whether the dying thread t made exit(2); any other dies with
// its process, or for an execve of another.
func endsItself(t *thread) bool {
	const exit = 60
	var r sys.Regs
	return sys.GetRegs(t.tid, &r) == nil && r.Orig_rax == exit
}

// hurryExits lets threads go on that wait for memory in their exit.
func (o *origin) hurryExits() {
	for _, t := range o.threads {
		if t.exiting && t.stopped {
			o.resume0(t)
		}
	}
}

// exitNow lets a dying thread go on once its memory is here.
func (o *origin) exitNow(t *thread) {
	if t.where == gone || !t.stopped {
		return
	}
	if t.tid == o.proc.PID && t.exitHold != 0 {
		o.watchLeader(t)
	}
	o.resume0(t)
	o.lastThread()
}

// watchLeader ends the hold of the process's first thread. The kernel tells of
// its end, by wait or by pidfd, only after the last thread's: it is looked for.
func (o *origin) watchLeader(t *thread) {
	o.loop.after(leaderLook, func() {
		switch {
		case o.pager == nil || t.exitHold == 0:
		case !isZombie(t.tid):
			o.watchLeader(t)
		default:
			o.release(t.exitHold)
			t.exitHold = 0
		}
	})
}

// leaderLook is how often the first thread's end is looked for.
const leaderLook = time.Millisecond

// isZombie tells whether a process's first thread has ended; also when it is
// not there at all.
func isZombie(pid int) bool {
	state := firstThreadState(pid)
	return state == 'Z' || state == 'X' || state == 0
}

// firstThreadState is the letter of proc_pid_stat(5), 0 for no such process.
func firstThreadState(pid int) byte {
	f, err := sys.ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return f[3][0]
}

// resume0 lets a dying thread go on to its end.
func (o *origin) resume0(t *thread) {
	t.stopped = false
	sys.Cont(t.tid, 0) // ESRCH: killed meanwhile
}

// maxRobust bounds the walk along a robust list, as the kernel's own does
// (ROBUST_LIST_LIMIT, linux/futex.h), but lower: the list is the program's.
const maxRobust = 256

// robustPages calls f with the pages a dying thread's kernel part writes: the
// cleared thread id, and the futexes of the robust list (kernel/futex/core.c).
func (o *origin) robustPages(t *thread, f func([]run)) {
	var runs []run
	add := func(a uint64) {
		p := vm.Addr(a).Page()
		for _, r := range runs {
			if r.Contains(p) {
				return
			}
		}
		if m, ok, err := o.proc.MappingAt(vm.Addr(a)); err == nil && ok && m.Kind == vm.Coherent {
			runs = append(runs, run{First: p, N: 1})
		}
	}
	if t.cleartid != 0 {
		add(uint64(t.cleartid))
	}
	head, _, err := sys.GetRobustList(t.tid)
	if err != nil || head == 0 {
		f(runs)
		return
	}
	add(head)
	o.walkRobust(head, add, func() { f(runs) })
}

// walkRobust follows struct robust_list_head: next, offset of the futex word,
// entry pending; each entry begins with the next one's address.
func (o *origin) walkRobust(head uint64, add func(uint64), done func()) {
	o.peek(vm.Addr(head), 24, func(b []byte, err error) {
		if err != nil {
			done()
			return
		}
		next := binary.LittleEndian.Uint64(b)
		offset := binary.LittleEndian.Uint64(b[8:])
		if pending := binary.LittleEndian.Uint64(b[16:]) &^ 1; pending != 0 {
			add(pending)
			add(pending + offset)
		}
		o.walkEntries(head, next, offset, maxRobust, add, done)
	})
}

func (o *origin) walkEntries(head, at, offset uint64, left int, add func(uint64), done func()) {
	at &^= 1 // the low bit marks priority inheritance
	if at == head || at == 0 || left == 0 {
		done()
		return
	}
	add(at)
	add(at + offset)
	o.peek(vm.Addr(at), 8, func(b []byte, err error) {
		if err != nil {
			done()
			return
		}
		o.walkEntries(head, binary.LittleEndian.Uint64(b), offset, left-1, add, done)
	})
}
