package carry

import (
	"errors"
	"fmt"
	"os"
	"time"

	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// PutBack makes the files that the program had open for writing what they were
// when it was saved, as far as that can be: what was appended since is cut off,
// standard streams included. Doubts are files of which more may have changed.
func (s *Source) PutBack() (doubts []error, err error) {
	for i := range s.Image.Process.Files {
		o := &s.Image.Process.Files[i]
		if o.File == nil || o.File.Deleted || o.Flags&3 == sys.O_RDONLY {
			continue
		}
		doubt := error(nil)
		switch o.Type {
		case image.Regular:
			doubt, err = putBack(o)
		case image.Stream:
			err = rewind(o)
		}
		if err != nil {
			return doubts, fmt.Errorf("put back file %s: %w", o.File.Path, err)
		}
		if doubt != nil {
			doubts = append(doubts, doubt)
		}
	}
	return doubts, nil
}

// putBack cuts a file to its size. Its time is put back too: it is what it was,
// unless the program has written elsewhere than at the end.
func putBack(o *image.Open) (doubt, err error) {
	f := o.File
	st, err := sys.StatFile(f.Path)
	switch {
	case err != nil:
		return nil, err
	case st.Dev != f.Dev || st.Ino != f.Ino:
		return nil, fmt.Errorf("%w: it is another file", ErrChanged)
	case st.Size < f.Size:
		return nil, fmt.Errorf("%w: it has %d bytes, not %d", ErrChanged, st.Size, f.Size)
	case st.Size == f.Size && st.Mtime == f.Mtime:
		return nil, nil
	}
	if o.Flags&sys.O_APPEND == 0 && o.Offset != f.Size {
		doubt = fmt.Errorf("file %s may have been written before its end after the checkpoint; that was not undone", f.Path)
	}
	t := time.Unix(0, f.Mtime)
	return doubt, errors.Join(os.Truncate(f.Path, f.Size), os.Chtimes(f.Path, t, t))
}

// rewind takes a standard stream that is a file back to where it was. One that is
// another file now, or none, is left alone.
func rewind(o *image.Open) error {
	st, err := sys.StatFD(o.Stream)
	if err != nil || st.Dev != o.File.Dev || st.Ino != o.File.Ino || st.Size < o.File.Size {
		return nil
	}
	if err := sys.Ftruncate(o.Stream, o.File.Size); err != nil {
		return err
	}
	return sys.Seek(o.Stream, o.Offset)
}
