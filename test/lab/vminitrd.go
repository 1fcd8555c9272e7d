package lab

import (
	"fmt"
	"io"
	"os"
	"path"
)

// initrd writes a root file system as the kernel unpacks it: a cpio(5) archive in
// the newc format. After the first error it does nothing.
type initrd struct {
	w    io.Writer
	made map[string]bool
	n    int // of entries
	at   int64
	err  error
}

func newInitrd(w io.Writer) *initrd { return &initrd{w: w, made: map[string]bool{".": true}} }

// copy puts a file of the machine, with its mode, at name.
func (r *initrd) copy(name, source string) {
	data, err := os.ReadFile(source)
	if err == nil {
		var fi os.FileInfo
		if fi, err = os.Stat(source); err == nil {
			r.file(name, data, fi.Mode().Perm())
			return
		}
	}
	r.fail(err)
}

func (r *initrd) file(name string, data []byte, mode os.FileMode) {
	const regular = 0o100000
	name = inRoot(name)
	r.folders(path.Dir(name))
	r.entry(name, regular|uint32(mode), data)
}

func (r *initrd) folders(dir string) {
	const folder = 0o040000
	if r.made[dir] {
		return
	}
	r.folders(path.Dir(dir))
	r.made[dir] = true
	r.entry(dir, folder|0o755, nil)
}

func (r *initrd) entry(name string, mode uint32, data []byte) {
	r.n++
	header := "070701"
	for _, v := range []uint32{uint32(r.n), mode, 0, 0, 1, 0, uint32(len(data)), 0, 0, 0, 0, uint32(len(name) + 1), 0} {
		header += fmt.Sprintf("%08X", v)
	}
	r.write([]byte(header + name + "\x00"))
	r.write(data)
}

// write writes b and fills up to four bytes.
func (r *initrd) write(b []byte) {
	if r.err != nil {
		return
	}
	fill := -(r.at + int64(len(b))) & 3
	r.at += int64(len(b)) + fill
	_, err := r.w.Write(b)
	r.fail(err)
	_, err = r.w.Write(make([]byte, fill))
	r.fail(err)
}

func (r *initrd) fail(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("make initrd: %w", err)
	}
}

// close writes the end.
func (r *initrd) close() error {
	r.entry("TRAILER!!!", 0, nil)
	return r.err
}
