package control

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// Entry is what is known of a job without calling it: the content of the
// small file beside its socket.
type Entry struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

const (
	socketSuffix = ".sock"
	entrySuffix  = ".json"
)

// Dir is where this user's control sockets are: $XDG_RUNTIME_DIR/popcorn, for
// root without one /run/popcorn, and for others a private folder in the
// temporary directory.
func Dir() string {
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "popcorn")
	}
	if os.Geteuid() == 0 {
		return "/run/popcorn"
	}
	return filepath.Join(os.TempDir(), "popcorn-"+strconv.Itoa(os.Geteuid()))
}

// makeDir creates the folder of sockets and refuses one that is not ours
// alone: in a shared temporary directory somebody else may have made it.
func makeDir() (string, error) {
	dir := Dir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make control directory: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make control directory: %w", err)
	}
	uid, _ := sys.FileOwner(fi)
	if !fi.IsDir() || int(uid) != os.Geteuid() {
		return "", fmt.Errorf("use control directory %s: it belongs to somebody else: %w", dir, ErrRefused)
	}
	// Others may pass: root's folder holds the socket of the node's daemon too.
	if fi.Mode().Perm()&^0o711 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return "", fmt.Errorf("close control directory: %w", err)
		}
	}
	return dir, nil
}

func (e Entry) socket() string { return filepath.Join(Dir(), e.ID+socketSuffix) }
func (e Entry) file() string   { return filepath.Join(Dir(), e.ID+entrySuffix) }

// write puts the entry beside its socket, whole or not at all.
func (e Entry) write() error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	tmp := filepath.Join(Dir(), "."+e.ID+entrySuffix)
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	if err := os.Rename(tmp, e.file()); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	return nil
}

// Remove deletes the socket and the entry of a job. It is for whoever
// outlives a supervisor that had no chance to clean up.
func Remove(id string) error {
	e := Entry{ID: id}
	var errs []error
	for _, p := range []string{e.file(), e.socket(), hidden(e.socket()), hidden(e.file())} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// hidden is the name a file has until it is complete; List does not see it.
func hidden(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
}

// List returns the jobs of this user that are alive, oldest first. Files of
// supervisors that are gone are removed.
func List() ([]Entry, error) {
	files, err := os.ReadDir(Dir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", denied(err))
	}
	var out []Entry
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), socketSuffix)
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		e, err := load(id)
		if err != nil {
			continue // ended meanwhile, or not announced yet
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return a.Started.Compare(b.Started) })
	return out, nil
}

// load reads one entry and checks that somebody still listens. A socket
// appears under its name only when it listens, so refusal means death.
func load(id string) (Entry, error) {
	e := Entry{ID: id}
	conn, err := dialSocket(e)
	if err != nil {
		if errors.Is(err, sys.ECONNREFUSED) {
			return e, errors.Join(err, Remove(id))
		}
		return e, err
	}
	conn.Close()
	text, err := os.ReadFile(e.file())
	if err != nil {
		return e, fmt.Errorf("read entry: %w", err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("read entry %s: %w", id, err)
	}
	e.ID = id // the file name is what the socket is found by
	return e, nil
}

// Find returns the job that ref means: an id, a name, a pid, or the beginning
// of just one id; in this order.
func Find(ref string) (Entry, error) {
	all, err := List()
	if err != nil && !errors.Is(err, ErrRefused) {
		return Entry{}, err
	}
	e, notFound := find(all, ref)
	if errors.Is(notFound, ErrNoSuchJob) && isID(ref) && mayBe(Entry{ID: ref}) {
		return Entry{ID: ref}, nil // somebody else's, of which nothing can be read: the job decides
	}
	return e, cmp.Or(err, notFound)
}

// mayBe tells whether a job's socket is there, or cannot be looked for.
func mayBe(e Entry) bool {
	_, err := os.Lstat(e.socket())
	return err == nil || errors.Is(err, os.ErrPermission)
}

// isID tells whether ref can only be a job's id: it becomes part of a path.
func isID(ref string) bool { return len(ref) == 8 && strings.Trim(ref, "0123456789abcdef") == "" }

// denied makes a refusal of what file modes forbid.
func denied(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

func find(all []Entry, ref string) (Entry, error) {
	tests := []func(Entry) bool{
		func(e Entry) bool { return e.ID == ref },
		func(e Entry) bool { return e.Name != "" && e.Name == ref },
		func(e Entry) bool { return strconv.Itoa(e.PID) == ref },
		func(e Entry) bool { return ref != "" && strings.HasPrefix(e.ID, ref) },
	}
	for _, is := range tests {
		var hits []Entry
		for _, e := range all {
			if is(e) {
				hits = append(hits, e)
			}
		}
		switch len(hits) {
		case 0:
		case 1:
			return hits[0], nil
		default:
			return Entry{}, fmt.Errorf("find job %q: %d jobs match: %w", ref, len(hits), ErrAmbiguous)
		}
	}
	return Entry{}, fmt.Errorf("find job %q: %w", ref, ErrNoSuchJob)
}
