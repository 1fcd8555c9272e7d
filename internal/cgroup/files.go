package cgroup

import (
	"os"
	"path/filepath"
	"strings"
)

// files are the group files of a hierarchy. Tests have some that act like the
// kernel's, for a machine whose hierarchy cannot be used.
type files interface {
	mkdir(dir string) error
	rmdir(dir string) error
	// read returns a file's text without the newline at its end.
	read(dir, file string) (string, error)
	write(dir, file, text string) error
	// children are the names of the groups below dir.
	children(dir string) ([]string, error)
}

// kernel is the real ones.
type kernel struct{}

func (kernel) mkdir(dir string) error { return os.Mkdir(dir, 0o755) }
func (kernel) rmdir(dir string) error { return os.Remove(dir) }

func (kernel) read(dir, file string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	return strings.TrimSuffix(string(text), "\n"), err
}

// write makes no file: where the kernel has none, there is no such control.
func (kernel) write(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func (kernel) children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, err
}
