package node

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"popcorn/internal/cgroup"
	"popcorn/internal/sys"
)

// ends remembers why the last deputies ended that did not end well.
type ends struct {
	causes map[string]string // by key
	order  []string
}

// keepEnds bounds what is remembered.
const keepEnds = 256

func (e *ends) add(key, cause string) {
	if e.causes == nil {
		e.causes = map[string]string{}
	}
	if _, ok := e.causes[key]; !ok {
		e.order = append(e.order, key)
	}
	e.causes[key] = cause
	for len(e.order) > keepEnds {
		delete(e.causes, e.order[0])
		e.order = e.order[1:]
	}
}

// adopt takes care of what earlier lives of the daemon have left: deputies that
// run and, of those that do not, the groups.
func (a *deputies) adopt() error {
	here, err := a.census()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range here {
		uid, _ := userOfKey(p.key)
		a.runs[p.key] = &running{p.process, uid, p.uid, p.pidfd}
		a.log.Info("deputy found", "pid", p.PID, "uid", uid, "as", p.uid)
	}
	return nil
}

// userOfKey is the user in a deputy's key.
func userOfKey(key string) (uint32, bool) {
	number, _, ok := strings.Cut(key, "-")
	uid, err := strconv.ParseUint(number, 10, 32)
	return uint32(uid), ok && err == nil
}

// release gives up what adopt opened.
func (a *deputies) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.runs {
		if r.pidfd >= 0 {
			sys.Close(r.pidfd)
			r.pidfd = -1
		}
	}
	clear(a.runs)
}

// reap asks for each deputy by its own number: other children of this process
// are others' affair.
func (a *deputies) reap() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(a.runs)) {
		r := a.runs[key]
		if r.pidfd >= 0 {
			if sys.AwaitPidfd(r.pidfd, 0) {
				sys.Close(r.pidfd)
				a.ended(key, r, "", "an earlier life of the daemon had started it")
			}
			continue
		}
		got, status, _, err := sys.Wait(r.PID, sys.WNOHANG)
		if err == nil && got == 0 {
			continue
		}
		cause, note := "", ""
		switch {
		case err != nil:
			note = err.Error()
		case status.Signaled():
			cause = fmt.Sprintf("the program's part there was killed by signal %d", status.Signal())
		case status.ExitStatus() != 0:
			note = fmt.Sprintf("exit code %d", status.ExitStatus())
		}
		a.ended(key, r, cause, note)
	}
}

// ended writes down a deputy's end: cause is what its user wants to know of it,
// note what else is known.
func (a *deputies) ended(key string, r *running, cause, note string) {
	delete(a.runs, key)
	if why := a.starved(key); why != "" {
		cause = why
	}
	e := event{What: "deputy ended", Who: fmt.Sprintf("uid %d", r.uid), On: r.String(), Result: "ok", Reason: note}
	if cause != "" {
		a.ends.add(key, cause)
		e.Result, e.Reason = "failed", cause
	}
	a.audit.write(e)
	a.log.Info("deputy ended", "pid", r.PID, "uid", r.uid, "as", r.as, "result", e.Result, "reason", e.Reason)
}

// starved tells in words that the kernel has killed a deputy for want of memory,
// empty when it has not.
func (a *deputies) starved(key string) string {
	if a.groups == nil {
		return ""
	}
	const killed = "out of memory: the kernel killed the program's part there"
	switch a.groups.Starved(key) {
	case cgroup.OwnLimit:
		return fmt.Sprintf("%s; each program may use %v there", killed, cgroup.Size(a.each.Memory))
	case cgroup.CommonLimit:
		return fmt.Sprintf("%s; programs may use %v there together", killed, cgroup.Size(a.all.Memory))
	case cgroup.Machine:
		return killed + "; the host had none left"
	}
	return ""
}

// cause is why the deputy of user uid's job is not what it was, in words; empty
// when nothing is known against it.
func (a *deputies) cause(uid uint32, job string) (string, error) {
	key, err := errand{uid: uid, job: job}.key()
	if err != nil {
		return "", err
	}
	a.reap() // it may have ended this moment
	a.mu.Lock()
	defer a.mu.Unlock()
	if why := a.starved(key); why != "" {
		return why, nil // whether all of it is gone or not
	}
	return a.ends.causes[key], nil
}

// sweep removes the groups of deputies that have ended with all of theirs.
func (a *deputies) sweep() {
	if a.groups == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	names, err := a.groups.Names()
	if err != nil {
		a.log.Warn("groups not removed", "err", err)
		return
	}
	for _, key := range names {
		// Of a deputy that ended while no daemon ran.
		if why := a.starved(key); why != "" && a.runs[key] == nil {
			a.ends.add(key, why)
		}
	}
	if _, err := a.groups.Sweep(); err != nil {
		a.log.Warn("groups not removed", "err", err)
	}
}
