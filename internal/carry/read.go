package carry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// Errors of restoring, each wrapped with what was found.
var (
	// ErrChanged: a file is not what it was when the image was made.
	ErrChanged = errors.New("it has changed since the checkpoint")
	// ErrTaken: the process ids of the image are in use.
	ErrTaken = errors.New("the process ids of the checkpoint are taken")
)

// Source is an image file open for reading.
type Source struct {
	Image *image.Image
	file  *os.File // uncompressed
	path  string
}

// Open reads the head of an image.
func Open(path string) (*Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if f, err = uncompressed(f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	s := &Source{file: f, path: path}
	st, err := f.Stat()
	if err == nil {
		s.Image, err = image.Decode(uint64(st.Size()), s.read)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// Close closes the file.
func (s *Source) Close() { s.file.Close() }

func (s *Source) read(b []byte, off int64) error {
	n, err := s.file.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it ends at %d: %w", off+int64(n), image.ErrDamaged)
	}
	return err
}

// segment passes the bytes of segment i to f, block by block, each checked
// before.
func (s *Source) segment(i int, f func(at uint64, b []byte) error) error {
	seg := s.Image.Segments[i]
	buf := make([]byte, min((seg.Filesz+4095)&^4095, image.BlockSize))
	for k, sum := range seg.Sums {
		at := uint64(k) * image.BlockSize
		n := min(seg.Filesz-at, image.BlockSize)
		b := buf[:(n+4095)&^4095]
		if err := s.read(b, int64(seg.Off+at)); err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		if got := image.Sum(b); got != sum {
			return fmt.Errorf("read %s: the checksum of bytes %d to %d is %08x, not %08x: %w", s.path, seg.Off+at, seg.Off+at+uint64(len(b)),
				got, sum, image.ErrDamaged)
		}
		if err := f(at, b[:n]); err != nil {
			return err
		}
	}
	return nil
}

// Verify reads the whole file and checks it.
func (s *Source) Verify() error {
	for i := range s.Image.Segments {
		if err := s.segment(i, func(uint64, []byte) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// Fits tells all reasons why the program cannot be restored here: another
// processor, another user, files that are not what they were.
func (s *Source) Fits() error {
	p := &s.Image.Process
	var cpu guest.CPU
	errs := []error{json.Unmarshal(p.CPU, &cpu), cpu.RunsOn(guest.ReadCPU())}
	if uid := os.Geteuid(); uid != p.UIDs[0] {
		errs = append(errs, fmt.Errorf("it was a program of user %d, and this is user %d: restore it as that user", p.UIDs[0], uid))
	}
	seen := map[string]bool{}
	check := func(f *image.File, content bool) {
		if f == nil || f.Deleted || seen[f.Path] {
			return
		}
		seen[f.Path] = true
		errs = append(errs, unchanged(f, content))
	}
	check(&p.Exe, true)
	for _, m := range p.Mappings {
		check(m.File, true)
	}
	for _, o := range p.Files {
		if o.Type != image.Stream { // restore gives it its own
			check(o.File, o.Type == image.Regular)
		}
	}
	if st, err := sys.StatFile(p.Dir); err != nil || !st.IsDirectory() {
		errs = append(errs, fmt.Errorf("working directory %s is not there", p.Dir))
	}
	return errors.Join(errs...)
}

// unchanged tells how a file differs from what it was.
func unchanged(f *image.File, content bool) error {
	st, err := sys.StatFile(f.Path)
	switch {
	case err != nil:
		return fmt.Errorf("file %s: %w: %w", f.Path, ErrChanged, err)
	case st.Mode>>12 != f.Mode>>12:
		return fmt.Errorf("file %s: %w: it is another kind of file", f.Path, ErrChanged)
	case !content || strings.HasPrefix(f.Path, "/proc/") || strings.HasPrefix(f.Path, "/sys/"):
		return nil
	case st.Size != f.Size:
		return fmt.Errorf("file %s: %w: it has %d bytes, not %d", f.Path, ErrChanged, st.Size, f.Size)
	case st.Mtime != f.Mtime:
		return fmt.Errorf("file %s: %w: it was written later", f.Path, ErrChanged)
	}
	return nil
}
