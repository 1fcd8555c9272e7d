package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"popcorn/internal/sys"
)

const (
	// guests is the group that has all others of a tree.
	guests = "popcorn"
	// leaf is where a process goes that stands in the way: a group whose children
	// have controllers has no processes. systemd puts it there by itself
	// (DelegateSubgroup in the unit).
	leaf = "daemon"
)

// Open makes the group for what this process starts, with limits for all of it
// together, and for each. It stands below the group called parent, else below
// this process's own, which it may leave for one beside. Opening it again, also
// in another life, finds what is there. Without limits and leftovers it
// returns nil.
func Open(parent string, all, each Limits) (*Tree, error) {
	p, err := find()
	if err == nil {
		return p.open(kernel{}, parent, all, each)
	}
	if !all.Any() && !each.Any() {
		return nil, nil
	}
	return nil, err
}

func (p place) open(k files, parent string, all, each Limits) (*Tree, error) {
	wanted := slices.Concat(all.controllers(), each.controllers())
	base, err := p.base(parent)
	if err != nil && len(wanted) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &Tree{fs: k, dir: filepath.Join(base, guests), each: each, fresh: map[string]bool{}}
	if _, err := k.children(t.dir); err != nil && len(wanted) == 0 {
		return nil, nil
	}
	if err := t.prepare(p, base, parent != "", all); err != nil {
		return nil, fmt.Errorf("limit guests: %w", err)
	}
	return t, nil
}

// base is the folder of the group that the tree is made in.
func (p place) base(parent string) (string, error) {
	if parent != "" {
		return p.dir("/" + strings.Trim(parent, "/"))
	}
	own := p.own
	if filepath.Base(own) == leaf {
		own = filepath.Dir(own)
	}
	return p.dir(own)
}

func (t *Tree) prepare(p place, base string, named bool, all Limits) error {
	if named {
		if err := t.makeAll(p.mount, base); err != nil {
			return err
		}
	} else if err := t.stepAside(p, base, slices.Concat(all.controllers(), t.each.controllers())); err != nil {
		return err
	}
	if err := t.enable(p, base, slices.Concat(all.controllers(), t.each.controllers()), named); err != nil {
		return err
	}
	if err := t.mkdir(t.dir); err != nil {
		return err
	}
	if err := t.enable(p, t.dir, t.each.controllers(), false); err != nil {
		return err
	}
	return t.limit(t.dir, all)
}

// makeAll makes a group and those it is in.
func (t *Tree) makeAll(mount, dir string) error {
	if dir == mount {
		return nil
	}
	if err := t.makeAll(mount, filepath.Dir(dir)); err != nil {
		return err
	}
	return t.mkdir(dir)
}

func (t *Tree) mkdir(dir string) error {
	if err := t.fs.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup %s: %w", dir, err)
	}
	return nil
}

// stepAside moves this process out of the group base when controllers are to be
// given to others there. The root of the hierarchy may have both.
func (t *Tree) stepAside(p place, base string, controllers []string) error {
	own, err := p.dir(p.own)
	if err != nil || own != base || len(controllers) == 0 {
		return err
	}
	if _, err := t.fs.read(base, "cgroup.type"); errors.Is(err, fs.ErrNotExist) {
		return nil // only the root has no type
	}
	dir := filepath.Join(base, leaf)
	if err := t.mkdir(dir); err != nil {
		return err
	}
	if err := t.fs.write(dir, "cgroup.procs", "0"); err != nil {
		return fmt.Errorf("move to cgroup %s: %w", dir, err)
	}
	return nil
}

// enable gives controllers to the children of dir, with deep also to dir itself.
func (t *Tree) enable(p place, dir string, controllers []string, deep bool) error {
	for _, c := range controllers {
		if t.has(dir, "cgroup.subtree_control", c) {
			continue
		}
		if !t.has(dir, "cgroup.controllers", c) {
			if !deep || dir == p.mount {
				return p.lacking(c, dir)
			}
			if err := t.enable(p, filepath.Dir(dir), []string{c}, true); err != nil {
				return err
			}
		}
		err := t.fs.write(dir, "cgroup.subtree_control", "+"+c)
		if errors.Is(err, sys.EBUSY) {
			return fmt.Errorf("give controller %q to the children of cgroup %s: %w: other processes are in it; start the daemon by its "+
				"systemd unit, by systemd-run -p Delegate=yes, or name another group (cgroup in node.toml)", c, dir, err)
		}
		if err != nil {
			return fmt.Errorf("give controller %q to the children of cgroup %s: %w", c, dir, err)
		}
	}
	return nil
}

func (t *Tree) has(dir, file, controller string) bool {
	text, err := t.fs.read(dir, file)
	return err == nil && slices.Contains(strings.Fields(text), controller)
}

func (t *Tree) limit(dir string, l Limits) error {
	for _, s := range l.settings() {
		err := t.fs.write(dir, s.file, s.value)
		if err != nil && (l.needs(s.file) || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("set %s of cgroup %s to %q: %w", s.file, dir, s.value, err)
		}
	}
	return nil
}
