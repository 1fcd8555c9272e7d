package carry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// Memory is the program's memory as it was when Keep was called.
type Memory struct {
	d    *Draft
	m    memory
	copy *guest.Process
}

// Keep makes a copy of the stopped program's memory that does not change when it
// runs on (Proc.Aside), after Capture. Without a copy, in place, the program must
// stay stopped until Write has returned.
func (d *Draft) Keep(inPlace bool) (*Memory, error) {
	kept, err := d.keepDirect()
	if err != nil {
		return nil, err
	}
	m := &Memory{d: d, m: memory{proc: d.s.Proc, kept: kept}}
	if inPlace {
		return m, nil
	}
	m.copy, err = d.s.Proc.Aside(d.s.Threads[0].TID)
	if err != nil {
		return nil, err
	}
	m.m.proc = m.copy
	return m, nil
}

// Release ends the copy, whose end must be collected.
func (m *Memory) Release() {
	if m.copy != nil {
		m.copy.Kill()
		m.copy.Close()
		m.copy = nil
	}
}

// Write writes the image to the file path, compressed if its name ends in .zst. The
// file is replaced when all is on the disk: after a crash there is the old one or the
// new. Write makes no ptrace request and may run beside the tracing thread. stop is
// asked now and then whether to give up.
func (m *Memory) Write(path string, stop func() error) (size uint64, err error) {
	tmp := path + ".tmp"
	os.Remove(tmp) // of one that was killed
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	if compressed(path) {
		size, err = m.writeCompressed(f, stop)
	} else {
		size, err = m.writeTo(int(f.Fd()), stop)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return size, syncDir(filepath.Dir(path))
}

// syncDir has the name of a new file written to the disk.
func syncDir(dir string) error {
	fd, err := sys.Open(dir, sys.O_RDONLY|sys.O_DIRECTORY|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer sys.Close(fd)
	if err := sys.Sync(fd); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func (m *Memory) writeTo(fd int, stop func() error) (uint64, error) {
	im := m.d.Image
	if err := m.d.layOut(m.m.proc, m.m.kept); err != nil {
		return 0, err
	}
	size, err := im.Place()
	if err != nil {
		return 0, err
	}
	if err := sys.Ftruncate(fd, int64(size)); err != nil {
		return 0, fmt.Errorf("size it: %w", err)
	}
	blob := 0
	buf := make([]byte, image.BlockSize)
	for i := range im.Segments {
		s := &im.Segments[i]
		read := func(at uint64, b []byte) error { return readSome(&m.m, s.Start+at, b) }
		if s.Blob {
			read = m.d.blobs[blob].read
			blob++
		}
		if err := writeSegment(fd, s, buf, read, stop); err != nil {
			return 0, err
		}
	}
	head, err := im.Encode()
	if err != nil {
		return 0, err
	}
	return size, writeAll(fd, head, 0)
}

// readSome reads a block of memory; a page that cannot be had is zeros.
func readSome(m *memory, at uint64, b []byte) error {
	if m.read(at, b) == nil {
		return nil
	}
	return readHoles(m.proc, at, b)
}

// writeSegment writes a segment and fills in its checksums. Blocks end with the
// file's page, which is filled up with zeros.
func writeSegment(fd int, s *image.Segment, buf []byte, read func(at uint64, b []byte) error, stop func() error) error {
	for i := range s.Sums {
		if err := stop(); err != nil {
			return err
		}
		at := uint64(i) * image.BlockSize
		n := min(s.Filesz-at, image.BlockSize)
		b := buf[:(n+4095)&^4095]
		clear(b[n:])
		if err := read(at, b[:n]); err != nil {
			return fmt.Errorf("read memory at %#x: %w", s.Start+at, err)
		}
		s.Sums[i] = image.Sum(b)
		if err := writeAll(fd, b, int64(s.Off+at)); err != nil {
			return err
		}
	}
	return nil
}

func writeAll(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := sys.Pwrite(fd, b, off)
		if err != nil {
			return fmt.Errorf("at offset %d: %w", off, err)
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

func (b blob) read(at uint64, to []byte) error {
	if b.fd < 0 {
		copy(to, b.data[at:])
		return nil
	}
	for len(to) > 0 {
		n, err := sys.Pread(b.fd, to, int64(at))
		if err != nil {
			return err
		}
		if n == 0 { // it has become shorter since
			clear(to)
			return nil
		}
		to, at = to[n:], at+uint64(n)
	}
	return nil
}
