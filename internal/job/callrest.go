package job

import (
	"fmt"
	"os"
	"strings"

	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
)

// endedShort tells whether c returned ret because it was stopped: what has no room waits
// for it, unless the program wants otherwise.
func (o *origin) endedShort(t *thread, c *call, ret uint64) bool {
	const dontWait = 0x40 // MSG_DONTWAIT, linux/socket.h
	if c.nr != sys.SYS_WRITE && (c.nr != sys.SYS_SENDTO || c.args[3]&dontWait != 0) || ret == 0 || ret >= c.args[2] {
		return false
	}
	st, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d/fd/%d", o.proc.PID, t.tid, int32(c.args[0])))
	if err != nil || st.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeCharDevice) == 0 {
		return false
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/fdinfo/%d", o.proc.PID, t.tid, int32(c.args[0])))
	if err != nil {
		return false
	}
	var pos, flags uint64 // the first two lines (proc_pid_fdinfo(5))
	_, err = fmt.Sscanf(string(info), "pos: %d\nflags: %o\n", &pos, &flags)
	return err == nil && flags&sys.O_NONBLOCK == 0
}

// advance notes that n bytes are moved, and makes c the call for the rest.
func (c *call) advance(n uint64) {
	c.args = advance(c.args, n)
	c.moved += n
}

// total is what the program is told when the last part of c returned ret.
func (c *call) total(ret uint64) uint64 {
	switch {
	case c.moved == 0:
		return ret
	case failed(ret):
		return c.moved
	}
	return c.moved + ret
}

// madeAnew tells whether c, which returned ret, is to be made again as if it had not been.
func (c *call) madeAnew(ret uint64) bool {
	switch -int64(ret) {
	case int64(sys.EINTR):
		return syscalls.RestartsWithEINTR(int(c.nr))
	case int64(sys.EFAULT):
		return futexPages(c.nr, c.args) != nil
	}
	return false
}

// callRest has the rest of a shadow's call made that returned less than it would have at
// home: a write that we stopped, or a read of the program's own arguments or environment,
// which the kernel does not get from pages that are away (fs/proc/base.c).
func (o *origin) callRest(t *thread, c *call, ret uint64) bool {
	switch {
	case t.signal != nil, failed(ret), ret >= c.args[2]:
	case c.nr == sys.SYS_READ && !c.asked:
		c.asked = true
		if runs := o.argumentPages(t, c.args[0]); runs != nil {
			c.advance(ret)
			o.postHolding(t, c, runs)
			return true
		}
	case o.endedShort(t, c, ret):
		c.advance(ret)
		o.post(t, c)
		return true
	}
	return false
}

// argumentPages is where the program has its arguments and its environment, if
// descriptor fd is /proc/PID/cmdline or environ of it.
func (o *origin) argumentPages(t *thread, fd uint64) []run {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/task/%d/fd/%d", o.proc.PID, t.tid, int32(fd)))
	if err != nil || !strings.HasPrefix(name, "/proc/") || !strings.HasSuffix(name, "/environ") && !strings.HasSuffix(name, "/cmdline") {
		return nil
	}
	var runs []run
	for _, r := range o.proc.Arguments() {
		runs = append(runs, vm.Range{Start: r.Start.Down(), End: r.End.Up()}.Pages())
	}
	return runs
}
