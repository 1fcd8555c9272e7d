package job

import (
	"errors"
	"fmt"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
)

// A thread may put itself under a seccomp filter of its own (seccomp(2)), which judges
// the calls that we make through it as well, and may end the program for them. So it
// stays home from then on, with the threads that it makes, which inherit the filter.

// errSandboxed is why such a thread stays home.
var errSandboxed = errors.New("a seccomp filter of the program's own may forbid the calls that moving a thread takes")

// sandboxes tells whether a call puts its thread under a filter of its own, or all
// threads; asking for what there is, with no filter given, does not.
func sandboxes(nr int, args [6]uint64) (does, all bool) {
	switch {
	case nr == sys.SYS_PRCTL && int32(args[0]) == sys.PR_SET_SECCOMP:
		return args[2] != 0, false
	case nr == sys.SYS_SECCOMP && uint32(args[0]) == sys.SECCOMP_SET_MODE_FILTER:
		return args[2] != 0, args[1]&sys.SECCOMP_FILTER_FLAG_TSYNC != 0
	}
	return false, false
}

// sandbox keeps t home, which is about to make a call of the program that sandboxes
// says does. With all it would hold for what works for us in the process too.
func (o *origin) sandbox(t *thread, all bool) {
	if all {
		o.fail(fmt.Errorf("the program puts all its threads under a filter, while some may be at other nodes: %w; run it without --on and --spread", errSandboxed))
		return
	}
	t.sandboxed, t.place = true, coherence.Home
	o.logf("thread %d stays home: %v", t.tid, errSandboxed)
}

// sandboxed tells whether t lives under a filter of its own. Before home's filter is
// there nothing notifies of that.
func (o *origin) sandboxed(t *thread) bool {
	return t.sandboxed || !o.distributed && o.proc.Filters(t.tid) > o.ownFilters()
}

// mayMove is nil if t may leave home.
func (o *origin) mayMove(t *thread) error {
	if o.sandboxed(t) {
		return fmt.Errorf("thread %d: %w", t.tid, errSandboxed)
	}
	return nil
}

// allMayMove is mayMove of all threads, each of which home's filter is put upon before
// the first leaves.
func (o *origin) allMayMove() error {
	for _, t := range o.threads {
		if err := o.mayMove(t); err != nil {
			return err
		}
	}
	return nil
}

// ownFilters is how many filters a thread of the program has that we know of: what it
// was started under, and home's.
func (o *origin) ownFilters() int {
	if o.listener >= 0 {
		return o.filters + 1
	}
	return o.filters
}
