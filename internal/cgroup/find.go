package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrUnavailable: this machine, or this part of it, offers no cgroup v2 to set
// limits with.
var ErrUnavailable = errors.New("not available here")

const switchOver = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"

// place is where this process is in the hierarchy of version 2.
type place struct {
	mount string   // where the hierarchy is mounted
	root  string   // the group that is mounted there
	own   string   // the group of this process, as the kernel names it
	old   []string // controllers that version 1 has
}

// find reads place from proc_pid_cgroup(5) and proc_pid_mountinfo(5).
func find() (place, error) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return place{}, fmt.Errorf("find own cgroup: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return place{}, fmt.Errorf("find cgroup hierarchy: %w", err)
	}
	return locate(string(groups), string(mounts))
}

func locate(groups, mounts string) (p place, err error) {
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(f) < 3:
		case f[0] == "0" && f[1] == "":
			p.own = f[2]
		default:
			p.old = append(p.old, strings.Split(f[1], ",")...)
		}
	}
	for line := range strings.Lines(mounts) {
		if root, mount, ok := unified(line); ok {
			p.root, p.mount = root, mount
		}
	}
	if p.own == "" || p.mount == "" {
		return p, fmt.Errorf("cgroup v2 is %w: no such hierarchy is mounted; %s", ErrUnavailable, switchOver)
	}
	return p, nil
}

// unified reads a line of mountinfo: id, parent, device, root, mount point,
// options, some tags, a hyphen, type.
func unified(line string) (root, mount string, ok bool) {
	before, after, _ := strings.Cut(line, " - ")
	f, kind := strings.Fields(before), strings.Fields(after)
	if len(f) < 5 || len(kind) < 1 || kind[0] != "cgroup2" {
		return "", "", false
	}
	return f[3], unescape.Replace(f[4]), true
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// dir is the folder of the group called name.
func (p place) dir(name string) (string, error) {
	rel, err := filepath.Rel(p.root, path.Clean(name))
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("cgroup %s is %w: only %s and what is below it can be seen", name, ErrUnavailable, p.root)
	}
	return filepath.Join(p.mount, rel), nil
}

// lacking explains why a group has no controller of some name.
func (p place) lacking(controller, dir string) error {
	for _, c := range p.old {
		if c == controller {
			return fmt.Errorf("controller %q is %w: cgroup v1 has it; %s", controller, ErrUnavailable, switchOver)
		}
	}
	return fmt.Errorf("controller %q is %w in %s: it was not delegated to this process; under systemd put Delegate=yes into the unit, "+
		"in a container give it a cgroup of its own to write to, else name another group (cgroup in node.toml)", controller, ErrUnavailable, dir)
}
