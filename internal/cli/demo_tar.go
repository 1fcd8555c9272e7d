package cli

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// demoRoots have enough files on any system, half of them code.
var demoRoots = []string{"/usr/bin", "/usr/share/doc", "/usr/share", "/usr/lib"}

var errEnough = errors.New("enough")

// packFiles writes to path a tar of regular files below roots until it holds
// size bytes, and returns how many it holds. The same files give the same
// archive: names are in order, and times and owners are left out.
func packFiles(path string, roots []string, size int64) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	tw := tar.NewWriter(f)
	var total int64
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if total >= size {
				return errEnough
			}
			if err != nil || !d.Type().IsRegular() {
				return nil // what we may not read is left out
			}
			n, err := packFile(tw, name, size-total)
			total += n
			return err
		})
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return total, fmt.Errorf("pack %s: %w", root, err)
		}
	}
	if err := tw.Close(); err != nil {
		return total, fmt.Errorf("pack: %w", err)
	}
	return total, f.Close()
}

// packFile adds one file, or its first limit bytes.
func packFile(tw *tar.Writer, name string, limit int64) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, nil // not ours to read
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	n := min(fi.Size(), limit)
	if err := tw.WriteHeader(&tar.Header{Name: name[1:], Mode: 0o644, Size: n}); err != nil {
		return 0, err
	}
	_, err = io.CopyN(tw, f, n)
	return n, err
}
