package node

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"

	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// Names of our files in the state directory, beside those of package trust.
const (
	recordFile  = "node.json"
	knownFile   = "members.pb"
	membersFile = "members.json" // of older versions
	labelsFile  = "labels.json"
	auditFile   = "audit.log"
	drainFile   = "drain.json"
	lockFile    = "lock"
)

// record is what a node said of itself when it founded or joined its cluster:
// later starts need no flags.
type record struct {
	Name      string `json:"name"`
	Listen    string `json:"listen"`
	Advertise string `json:"advertise,omitempty"`
	// Founder and Authority are name and address of the founding node; empty
	// there.
	Founder   string `json:"founder,omitempty"`
	Authority string `json:"authority,omitempty"`
}

// state is an open state directory, for one process at a time.
type state struct {
	dir  trust.Dir
	lock *os.File
}

func openState(path string) (*state, error) {
	dir, err := trust.OpenDir(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(dir.Path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	if err := sys.TryLock(int(f.Fd())); err != nil {
		f.Close()
		if errors.Is(err, sys.EWOULDBLOCK) {
			return nil, fmt.Errorf("use state directory %s: a daemon runs on it already", path)
		}
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	return &state{dir, f}, nil
}

func (s *state) close() error { return s.lock.Close() }

// record reads what the node is; flags given now have the last word.
func (s *state) record(cfg Config) (record, error) {
	var r record
	if err := s.dir.ReadJSON(recordFile, &r); err != nil {
		return r, fmt.Errorf("read what this node is: %w", err)
	}
	if cfg.Name != "" && cfg.Name != r.Name {
		return r, fmt.Errorf("this node is called %s in its cluster, not %s: it must leave and join again to change that", r.Name, cfg.Name)
	}
	r.Listen = cmp.Or(cfg.Listen, r.Listen)
	r.Advertise = cmp.Or(cfg.Advertise, r.Advertise)
	return r, nil
}

// newRecord is that of a node that founds or joins.
func newRecord(cfg Config) (record, error) {
	r := record{Name: cfg.Name, Listen: cmp.Or(cfg.Listen, ":"+DefaultPort), Advertise: cfg.Advertise}
	if _, _, err := net.SplitHostPort(r.Listen); err != nil {
		return r, fmt.Errorf("listen at %q: want ADDR:PORT or :PORT", r.Listen)
	}
	if r.Name == "" {
		var err error
		if r.Name, err = hostName(); err != nil {
			return r, err
		}
	}
	return r, trust.CheckName(r.Name)
}

// load returns the node's identity, that of a cluster founded now if there is
// none.
func (s *state) load(cfg Config) (*trust.Node, record, error) {
	id, err := trust.Load(s.dir)
	if errors.Is(err, trust.ErrNoIdentity) {
		if err = s.found(cfg); err == nil {
			id, err = trust.Load(s.dir)
		}
	}
	if err != nil {
		return nil, record{}, err
	}
	r, err := s.record(cfg)
	return id, r, err
}

// found makes a cluster. The certificate is written last, so that what came
// before it is done again after a crash.
func (s *state) found(cfg Config) error {
	r, err := newRecord(cfg)
	if err != nil {
		return misuse{err}
	}
	if err := s.dir.WriteJSON(recordFile, r); err != nil {
		return err
	}
	return trust.Found(s.dir, r.Name)
}

// forget makes the directory that of a node without a cluster. The audit log
// stays.
func (s *state) forget() error {
	err := s.dir.Forget()
	for _, name := range []string{recordFile, knownFile, membersFile, labelsFile} {
		if e := os.Remove(s.dir.Path(name)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
