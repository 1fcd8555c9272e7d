package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// WriteFile writes a file of the host, making its folder if needed. Links that
// lead out of the host's root are not followed.
func (h *Host) WriteFile(name string, data []byte, mode os.FileMode) {
	h.lab.t.Helper()
	h.lab.must(h.writeFile(name, data, mode))
}

func (h *Host) writeFile(name string, data []byte, mode os.FileMode) error {
	m, err := h.running()
	if err != nil {
		return err
	}
	if err := m.writeFile(name, data, mode); err != nil {
		return fmt.Errorf("write %s on host %s: %w", name, h.Name, err)
	}
	return nil
}

func (m *contained) writeFile(name string, data []byte, mode os.FileMode) error {
	rel := inRoot(name)
	if err := m.root.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return err
	}
	return m.root.WriteFile(rel, data, mode)
}

// ReadFile reads a file of the host; os.ErrNotExist when there is none.
func (h *Host) ReadFile(name string) ([]byte, error) {
	m, err := h.running()
	if err != nil {
		return nil, err
	}
	data, err := m.readFile(name)
	if err != nil {
		return nil, fmt.Errorf("read %s on host %s: %w", name, h.Name, err)
	}
	return data, nil
}

func (m *contained) readFile(name string) ([]byte, error) { return m.root.ReadFile(inRoot(name)) }

// FS is what is in the host's root, with what is mounted there. Of a virtual
// machine, whose kernel is not ours, nothing is to be seen.
func (h *Host) FS() (fs.FS, error) {
	m, err := h.running()
	if err != nil {
		return nil, err
	}
	c, ok := m.(*contained)
	if !ok {
		return nil, fmt.Errorf("look into host %s: %w", h.Name, errors.ErrUnsupported)
	}
	return c.root.FS(), nil
}

// inRoot is an absolute path as os.Root wants it.
func inRoot(name string) string {
	if rel := strings.TrimPrefix(path.Clean("/"+name), "/"); rel != "" {
		return rel
	}
	return "."
}
