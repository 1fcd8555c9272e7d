package job

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
)

// With Spec.Follow a child process that lives for a while becomes a job of the family:
// "popcorn foster" attaches to it as to any program that is found running, and its
// threads go where a new thread would. Most children of a shell or of make end before
// that would pay. A child of vfork waits for its execve.

const (
	followAfter  = 100 * time.Millisecond
	followAgain  = 10 * time.Second // at most, between looks at one that cannot be followed yet
	followGrowth = 2
)

// infant is a child process that may become a job.
type infant struct {
	Foster
	wait time.Duration
}

// followable gets a child, stopped since it was made, ready to be followed.
func (o *origin) followable(pid int) bool {
	if o.proc.AgentStays() {
		return false // it needs the agent of ours
	}
	if !o.proc.HasAgent() || o.sharesMemory(pid) {
		return true
	}
	if err := o.proc.CleanChild(pid); err != nil {
		o.logf("child %d stays home: %v", pid, err)
		return false
	}
	return true
}

// sharesMemory tells whether a process has the program's own memory, as between vfork
// and execve; true too where nobody can tell.
func (o *origin) sharesMemory(pid int) bool {
	order, err := sys.Kcmp(o.proc.PID, pid, sys.KCMP_VM, 0, 0)
	return err != nil || order == 0
}

// letFollow looks after a while whether the process is still there.
func (o *origin) letFollow(pid int) {
	status, err := readStatus(pid)
	if err != nil {
		return
	}
	c := &infant{Foster{PID: pid, Started: startOf(pid), Filters: status["Seccomp_filters"]}, followAfter}
	o.loop.after(c.wait, func() { o.lookAt(c) })
}

// lookAt has the child become a job, unless that is too early still.
func (o *origin) lookAt(c *infant) {
	if o.ended || c.ended() != nil {
		return
	}
	if o.sharesMemory(c.PID) {
		c.wait = min(c.wait*followGrowth, followAgain)
		o.loop.after(c.wait, func() { o.lookAt(c) })
		return
	}
	if err := c.examineFollowed(); err != nil {
		o.logf("%v", err)
		return
	}
	n := o.placeChild()
	if n == coherence.Home && !o.cfg.Spec.Spread {
		return // there would be nothing to see of it
	}
	c.Node = int(n)
	o.report(fromSupervisor{Foster: &c.Foster})
}

// placeChild is where a child's threads go.
func (o *origin) placeChild() coherence.NodeID {
	first := o.threads[o.proc.PID]
	if first == nil {
		first = &thread{}
	}
	return o.placeFor(first)
}

// startFollowed takes over a child of another job that runs, with the children it has
// by now.
func (o *origin) startFollowed(f *Foster) error {
	if err := f.examineFollowed(); err != nil { // again: it may be another by now
		return err
	}
	if err := o.adopt(); err != nil {
		return err
	}
	if err := o.proc.FindAgent(); err != nil {
		return err
	}
	if err := o.serve(); err != nil {
		return err
	}
	o.report(fromSupervisor{PID: f.PID})
	for _, pid := range childrenOf(f.PID) {
		o.letFollow(pid)
	}
	o.migrate(nil, f.Node, true, func(err error) {
		if err != nil && !o.ended {
			o.report(fromSupervisor{Notice: staysHome(f, err)})
		}
	})
	return nil
}

// childrenOf is the children of a process (proc_tid_children(5)).
func childrenOf(pid int) (children []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, f := range files {
		b, _ := os.ReadFile(f) // gone: it has none
		for _, word := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// CommandOf is the command line of a process, for people to know it by.
func CommandOf(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // gone: attaching tells
	words := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	if words[0] == "" {
		words[0] = "?"
	}
	return words
}
