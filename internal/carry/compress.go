package carry

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"popcorn/internal/image"
)

// compressed tells whether an image of that name is to be compressed (zstd(1)).
func compressed(path string) bool { return strings.HasSuffix(path, ".zst") }

// zstdMagic begins a compressed file (RFC 8878, 3.1.1).
const zstdMagic = "\x28\xb5\x2f\xfd"

// scratchFile is a file without a name in dir.
func scratchFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".popcorn-image-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// compress writes all of from to to. stop is asked now and then whether to give up.
func compress(to io.Writer, from io.Reader, stop func() error) error {
	z, err := zstd.NewWriter(stoppable{to, stop}, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = z.ReadFrom(from)
		err = errors.Join(err, z.Close())
	}
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	return nil
}

type stoppable struct {
	io.Writer
	stop func() error
}

func (s stoppable) Write(b []byte) (int, error) {
	if err := s.stop(); err != nil {
		return 0, err
	}
	return s.Writer.Write(b)
}

// writeCompressed is writeTo of a compressed image. Its head, which comes first, is
// known last: so it is written whole before, to a file in the same folder.
func (m *Memory) writeCompressed(to *os.File, stop func() error) (size uint64, err error) {
	whole, err := scratchFile(filepath.Dir(to.Name()))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, whole.Close()) }()
	if _, err := m.writeTo(int(whole.Fd()), stop); err != nil {
		return 0, err
	}
	if _, err := whole.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	if err := compress(to, whole, stop); err != nil {
		return 0, err
	}
	st, err := to.Stat()
	if err != nil {
		return 0, err
	}
	return uint64(st.Size()), nil
}

// uncompressed is f itself, or a file without a name that has its content, if f is
// compressed.
func uncompressed(f *os.File) (*os.File, error) {
	head := make([]byte, len(zstdMagic))
	if _, err := f.ReadAt(head, 0); err != nil || string(head) != zstdMagic {
		return f, nil // what else it is, or is not, is found by who reads it
	}
	defer f.Close()
	whole, err := scratchFile("")
	if err != nil {
		return nil, fmt.Errorf("uncompress: %w", err)
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err == nil {
		defer z.Close()
		_, err = z.WriteTo(whole)
	}
	var disk *os.PathError
	switch {
	case err == nil:
		return whole, nil
	case errors.As(err, &disk):
		err = fmt.Errorf("uncompress to %s (TMPDIR says where): %w", os.TempDir(), disk.Err)
	default:
		err = fmt.Errorf("uncompress: %w: %w", image.ErrDamaged, err)
	}
	return nil, errors.Join(err, whole.Close())
}
