package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"popcorn/internal/job"
)

// maxNodes is the number of nodes the popcorn calls can name.
const maxNodes = 32

// settings are what of run may also come from the environment or a file. A
// nil field was not given.
type settings struct {
	Nodes  *int    `toml:"nodes"`
	On     *place  `toml:"on"`
	Spread *bool   `toml:"spread"`
	Stats  *string `toml:"stats"`
	// Children is home or follow.
	Children *string `toml:"children"`
}

// nodeID is the number of a node, written 2, node2 or, for 0, home.
type nodeID int

// parseNode understands a node's number and the names every job has.
func parseNode(s string) (nodeID, error) {
	if s == "home" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(s, "node"))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no node: give a number, or home", s)
	}
	return nodeID(n), nil
}

// place is a node as it was named: by number, by home, or by the name of a host of
// the job.
type place string

// UnmarshalTOML accepts a number or a name.
func (p *place) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case int64:
		return p.Set(strconv.FormatInt(v, 10))
	case string:
		return p.Set(v)
	}
	return fmt.Errorf("on: %v is no node", v)
}

func (p *place) String() string { return string(*p) }

// Set and Type make it a flag. What is neither number nor name of anything is wrong
// with any job.
func (p *place) Set(s string) error {
	if _, err := parseNode(s); err != nil && !isHostName(s) {
		return err
	}
	*p = place(s)
	return nil
}

// Type names the value in the usage text.
func (p *place) Type() string { return "NODE" }

// among is the number of a node in a job on hosts of these names; without hosts
// it has a number only.
func (p place) among(hosts []job.Host) (int, error) {
	for nid, h := range hosts {
		if string(p) == h.Name || string(p) == h.IP {
			return nid, nil
		}
	}
	n, err := parseNode(string(p))
	if err != nil && len(hosts) > 0 {
		var names []string
		for _, h := range hosts {
			names = append(names, h.Name)
		}
		return 0, fmt.Errorf("node %s: the job has no host of that name, but %s", p, strings.Join(names, ", "))
	}
	return int(n), err
}

// merge lays layers over each other; the first that has a value gives it.
// --on and --spread exclude each other: the earlier layer's word stands.
func merge(layers ...settings) (settings, error) {
	var out settings
	for _, l := range layers {
		spread := l.Spread != nil && *l.Spread
		if l.On != nil && spread {
			return out, errors.New("on and spread exclude each other: one holds every thread at a node, the other sends them round")
		}
		if out.Spread == nil && out.On == nil {
			out.On, out.Spread = l.On, l.Spread
		}
		if out.Nodes == nil {
			out.Nodes = l.Nodes
		}
		if out.Stats == nil {
			out.Stats = l.Stats
		}
		if out.Children == nil {
			out.Children = l.Children
		}
	}
	return out, nil
}

// fromEnv reads POPCORN_NODES, POPCORN_ON, POPCORN_SPREAD, POPCORN_CHILDREN and
// POPCORN_STATS; an empty one counts as absent.
func fromEnv(get func(string) string) (settings, error) {
	var s settings
	if v := get("POPCORN_NODES"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return s, fmt.Errorf("POPCORN_NODES: %q is no number", v)
		}
		s.Nodes = &n
	}
	if v := get("POPCORN_ON"); v != "" {
		var p place
		if err := p.Set(v); err != nil {
			return s, fmt.Errorf("POPCORN_ON: %w", err)
		}
		s.On = &p
	}
	if v := get("POPCORN_SPREAD"); v != "" {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return s, fmt.Errorf("POPCORN_SPREAD: %q is neither 1 nor 0", v)
		}
		s.Spread = &b
	}
	if v := get("POPCORN_STATS"); v != "" {
		s.Stats = &v
	}
	if v := get("POPCORN_CHILDREN"); v != "" {
		s.Children = &v
	}
	return s, nil
}

// configFiles are where settings are looked for, the user's first.
func configFiles() []string {
	files := []string{"/etc/popcorn/config.toml"}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append([]string{filepath.Join(dir, "popcorn", "config.toml")}, files...)
	}
	return files
}

// fromFile reads one configuration file; an absent one is empty. A key nobody
// knows is an error, or a typing mistake would pass for obedience.
func fromFile(path string) (settings, error) {
	var s settings
	meta, err := toml.DecodeFile(path, &s)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return s, fmt.Errorf("read %s: unknown key %q; known are nodes, on, spread, children and stats", path, extra[0].String())
	}
	return s, nil
}

// resolve returns the settings in force: flags, then environment, then files.
func resolve(flags settings) (settings, error) {
	env, err := fromEnv(os.Getenv)
	if err != nil {
		return env, err
	}
	layers := []settings{flags, env}
	for _, path := range configFiles() {
		s, err := fromFile(path)
		if err != nil {
			return s, err
		}
		layers = append(layers, s)
	}
	return merge(layers...)
}
