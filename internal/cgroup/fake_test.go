package cgroup

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"popcorn/internal/sys"
)

// fake acts like the kernel's group files, as cgroup-v2.rst says: for machines
// where version 1 has the controllers. TestRealGroups holds what of it the
// kernel here can show.
type fake struct {
	t      *testing.T
	groups map[string]map[string]string // folder, file, text
	procs  map[string]int               // processes in a folder's group
}

// newFake has a root with controllers.
func newFake(t *testing.T, root string, controllers string) *fake {
	f := &fake{t, map[string]map[string]string{}, map[string]int{}}
	f.groups[root] = map[string]string{"cgroup.controllers": controllers, "cgroup.subtree_control": "", "cgroup.procs": ""}
	return f
}

var byController = map[string][]string{
	"cpu":    {"cpu.max"},
	"memory": {"memory.max", "memory.swap.max", "memory.oom.group", "memory.events", "memory.events.local"},
	"pids":   {"pids.max"},
}

func (f *fake) mkdir(dir string) error {
	parent, ok := f.groups[filepath.Dir(dir)]
	if !ok {
		return fs.ErrNotExist
	}
	if f.groups[dir] != nil {
		return fs.ErrExist
	}
	f.groups[dir] = map[string]string{"cgroup.type": "domain", "cgroup.controllers": parent["cgroup.subtree_control"],
		"cgroup.subtree_control": "", "cgroup.procs": ""}
	f.give(dir)
	return nil
}

// give makes the files of the controllers a group has.
func (f *fake) give(dir string) {
	for _, c := range strings.Fields(f.groups[dir]["cgroup.controllers"]) {
		for _, file := range byController[c] {
			if _, ok := f.groups[dir][file]; !ok {
				f.groups[dir][file] = ""
			}
		}
	}
}

func (f *fake) below(dir string) (out []string) {
	for d := range f.groups {
		if filepath.Dir(d) == dir && d != dir {
			out = append(out, filepath.Base(d))
		}
	}
	slices.Sort(out)
	return out
}

func (f *fake) rmdir(dir string) error {
	switch {
	case f.groups[dir] == nil:
		return fs.ErrNotExist
	case f.procs[dir] > 0 || len(f.below(dir)) > 0:
		return sys.EBUSY
	}
	delete(f.groups, dir)
	return nil
}

func (f *fake) read(dir, file string) (string, error) {
	text, ok := f.groups[dir][file]
	if !ok {
		return "", fs.ErrNotExist
	}
	return text, nil
}

func (f *fake) children(dir string) ([]string, error) {
	if f.groups[dir] == nil {
		return nil, fs.ErrNotExist
	}
	return f.below(dir), nil
}

func (f *fake) write(dir, file, text string) error {
	g := f.groups[dir]
	if _, ok := g[file]; !ok {
		return fs.ErrNotExist
	}
	switch file {
	case "cgroup.procs":
		if g["cgroup.subtree_control"] != "" && g["cgroup.type"] != "" {
			return sys.EBUSY
		}
		for d := range f.procs {
			if f.procs[d] > 0 && strings.HasPrefix(dir, d) {
				f.procs[d]--
			}
		}
		f.procs[dir]++
		return nil
	case "cgroup.subtree_control":
		return f.enable(dir, strings.TrimPrefix(text, "+"))
	}
	g[file] = text
	return nil
}

func (f *fake) enable(dir, controller string) error {
	g := f.groups[dir]
	if !slices.Contains(strings.Fields(g["cgroup.controllers"]), controller) {
		return fs.ErrNotExist
	}
	if f.procs[dir] > 0 && g["cgroup.type"] != "" {
		return sys.EBUSY
	}
	g["cgroup.subtree_control"] = strings.TrimSpace(g["cgroup.subtree_control"] + " " + controller)
	for _, name := range f.below(dir) {
		d := filepath.Join(dir, name)
		f.groups[d]["cgroup.controllers"] = g["cgroup.subtree_control"]
		f.give(d)
	}
	return nil
}

func (f *fake) want(dir string, settings ...string) {
	f.t.Helper()
	for i := 0; i < len(settings); i += 2 {
		if got, ok := f.groups[dir][settings[i]]; !ok || got != settings[i+1] {
			f.t.Errorf("%s of %s is %q, want %q", settings[i], dir, got, settings[i+1])
		}
	}
}

func (f *fake) String() string { return fmt.Sprint(f.groups) }
