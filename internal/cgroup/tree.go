package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"popcorn/internal/sys"
)

// Tree is a group with limits and one child for each thing that is started.
type Tree struct {
	fs   files
	dir  string
	each Limits

	mu    sync.Mutex
	fresh map[string]bool // made, and nothing started there yet
}

// Make makes the group called name with the limits of each. A process that is
// started with fd is in it from its first instruction (clone3(2),
// CLONE_INTO_CGROUP); started, to be called then or in vain, gives fd up.
func (t *Tree) Make(name string) (fd int, started func(), err error) {
	dir := filepath.Join(t.dir, name)
	t.mu.Lock()
	t.fresh[name] = true
	t.mu.Unlock()
	over := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.fresh, name)
	}
	if err = t.fill(dir); err == nil {
		fd, err = sys.Open(dir, sys.O_RDONLY|sys.O_CLOEXEC, 0)
	}
	if err != nil {
		over()
		return -1, nil, err
	}
	return fd, func() { sys.Close(fd); over() }, nil
}

// fill makes a child that the kernel kills whole: half a job is of no use.
func (t *Tree) fill(dir string) error {
	if err := t.fs.mkdir(dir); err != nil {
		return fmt.Errorf("make cgroup %s: %w", dir, err)
	}
	err := t.limit(dir, t.each)
	if err == nil {
		err = t.fs.write(dir, "memory.oom.group", "1")
		if errors.Is(err, fs.ErrNotExist) { // memory is not limited
			err = nil
		}
	}
	if err != nil {
		return errors.Join(err, t.fs.rmdir(dir))
	}
	return nil
}

// Names are those of the groups there are, also of an earlier life.
func (t *Tree) Names() ([]string, error) {
	names, err := t.fs.children(t.dir)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return names, nil
}

// Sweep removes the groups in which nothing is left, and returns their names.
func (t *Tree) Sweep() (gone []string, err error) {
	names, err := t.Names()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, name := range names {
		if t.fresh[name] {
			continue
		}
		switch err := t.fs.rmdir(filepath.Join(t.dir, name)); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			gone = append(gone, name)
		case !errors.Is(err, sys.EBUSY): // something runs there
			errs = append(errs, fmt.Errorf("remove cgroup: %w", err))
		}
	}
	return gone, errors.Join(errs...)
}

// Scarcity is whose memory it was that a group ran out of.
type Scarcity int

// Kinds of it.
const (
	Enough      Scarcity = iota // the kernel has killed nothing there
	OwnLimit                    // what each may use
	CommonLimit                 // what all together may use
	Machine                     // all there is
)

// Starved tells whether the kernel has killed the group called name for want of
// memory.
func (t *Tree) Starved(name string) Scarcity {
	dir := filepath.Join(t.dir, name)
	switch {
	case t.count(dir, "memory.events", "oom_kill") == 0:
		return Enough
	case t.count(dir, "memory.events.local", "oom") > 0:
		return OwnLimit
	case t.count(t.dir, "memory.events.local", "oom") > 0:
		return CommonLimit
	}
	return Machine
}

// count reads one line of a file of counters; 0 without any.
func (t *Tree) count(dir, file, key string) (n uint64) {
	text, err := t.fs.read(dir, file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			fmt.Sscan(f[1], &n)
		}
	}
	return n
}

// Remove removes the tree if nothing is left in it.
func (t *Tree) Remove() error {
	if _, err := t.Sweep(); err != nil {
		return err
	}
	if err := t.fs.rmdir(t.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}
