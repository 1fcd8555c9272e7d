package lab

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// copyFile copies a file's content and mode, and makes the folders above.
func copyFile(source, path string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, st.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Chmod(st.Mode()), to.Close())
}

// copyTree copies what is in one folder to another, with owners and modes.
// Sockets and pipes are left out: who served them is gone.
func copyTree(source, target string) error {
	// A link of /proc is not walked into without the slash.
	source += "/"
	return filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		return copyEntry(path, filepath.Join(target, rel))
	})
}

func copyEntry(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err = os.MkdirAll(to, 0o700); err == nil {
			err = unix.Chmod(to, st.Mode&0o7777)
		}
	case unix.S_IFREG:
		if unchanged(st, to) {
			return nil
		}
		err = copyFile(from, to)
	case unix.S_IFLNK:
		err = copyLink(from, to)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return os.Lchown(to, int(st.Uid), int(st.Gid))
}

func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, to)
}

// unchanged: an origin's folder shows the machine's files already.
func unchanged(st unix.Stat_t, path string) bool {
	var there unix.Stat_t
	return unix.Lstat(path, &there) == nil && there.Mode == st.Mode && there.Size == st.Size && there.Mtim == st.Mtim
}
