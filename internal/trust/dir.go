package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"popcorn/internal/sys"
)

// Names of files in the state directory.
const (
	caFile      = "ca.crt"
	caKeyFile   = "ca.key"
	certFile    = "node.crt"
	keyFile     = "node.key"
	ledgerFile  = "authority.json"
	revokedFile = "revoked.json"
)

// Dir is a state directory: its owner's alone.
type Dir string

// OpenDir makes the directory if it is not there, and refuses one that somebody
// else could write to or owns.
func OpenDir(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	uid, _ := sys.FileOwner(fi)
	if !fi.IsDir() || int(uid) != os.Geteuid() {
		return "", fmt.Errorf("use state directory %s: it is not a directory of user %d", path, os.Geteuid())
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return "", fmt.Errorf("close state directory: %w", err)
	}
	return Dir(path), nil
}

// Path is the full name of a file in the directory.
func (d Dir) Path(name string) string { return filepath.Join(string(d), name) }

// Write puts a file there, whole or not at all, also when the power fails.
func (d Dir) Write(name string, data []byte) error {
	f, err := os.CreateTemp(string(d), "."+name+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), d.Path(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, os.Remove(f.Name())))
	}
	return d.sync()
}

// sync makes renames in the directory last.
func (d Dir) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return fmt.Errorf("sync state directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync state directory: %w", err)
	}
	return nil
}

// Read returns a file's content; os.ErrNotExist when it is not there.
func (d Dir) Read(name string) ([]byte, error) { return os.ReadFile(d.Path(name)) }

// WriteJSON is Write of v.
func (d Dir) WriteJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return d.Write(name, append(text, '\n'))
}

// ReadJSON decodes a file into v; os.ErrNotExist when it is not there.
func (d Dir) ReadJSON(name string, v any) error {
	text, err := d.Read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	return nil
}

// Forget removes what makes the directory that of a node, its certificate
// first: without that the rest counts for nothing.
func (d Dir) Forget() error {
	var errs []error
	for _, name := range []string{certFile, keyFile, caFile, caKeyFile, ledgerFile, revokedFile} {
		if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, d.sync())...)
}
