package carry

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// handle is one of the program's descriptors, while it is looked at.
type handle struct {
	fd   int
	link string // what /proc/PID/fd says it is
	info status // of fdinfo
	ours int    // a duplicate of it here
	stat sys.Stat
}

func (h *handle) owner() string { return fmt.Sprintf("descriptor %d", h.fd) }

// number is a value of fdinfo.
func (h *handle) number(name string, base int) uint64 { return h.info.number(name, base) }

// lookFiles learns what the program's descriptors refer to.
func (d *Draft) lookFiles() error {
	names, err := os.ReadDir(d.path("fd"))
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	var fds []int
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	first := map[int]int{} // index of a description -> a descriptor of it
	for _, fd := range fds {
		if err := d.lookFD(fd, first); err != nil {
			return err
		}
	}
	d.lookPipes()
	d.lookSockets()
	d.resolveWatches()
	return nil
}

func (d *Draft) lookFD(fd int, first map[int]int) error {
	h := &handle{fd: fd, ours: -1}
	var err error
	if h.link, err = os.Readlink(d.path(fmt.Sprintf("fd/%d", fd))); err != nil {
		return d.vanished(err)
	}
	text, err := d.fdinfo(h)
	if err != nil {
		return d.vanished(err)
	}
	h.info = parseLines(text)
	p := &d.Image.Process
	const cloexec = 0o2000000 // in fdinfo's flags, the descriptor's own
	n := image.Descriptor{FD: fd, CloExec: h.number("flags", 8)&cloexec != 0}
	n.File = d.known(fd, first)
	if n.File < 0 {
		if h.ours, err = sys.PidfdGetfd(d.s.Proc.Pidfd, fd); err != nil {
			return d.vanished(err)
		}
		defer sys.Close(h.ours)
		if h.stat, err = sys.StatFD(h.ours); err != nil {
			return fmt.Errorf("look at descriptor %d: %w", fd, err)
		}
		open, ok := d.describe(h, text)
		if !ok {
			return nil
		}
		open.Flags = int(h.number("flags", 8)) &^ cloexec
		n.File = len(p.Files)
		first[n.File] = fd
		p.Files = append(p.Files, open)
	}
	p.FDs = append(p.FDs, n)
	return nil
}

// fdinfo is what the kernel tells of a descriptor of the program. Of an epoll instance
// it tells that only when no events are being written, which may wait for a page from
// us (ep_show_fdinfo, fs/eventpoll.c).
func (d *Draft) fdinfo(h *handle) (string, error) {
	if !d.s.Still && h.link == "anon_inode:[eventpoll]" {
		return "", nil
	}
	text, err := os.ReadFile(d.path(fmt.Sprintf("fdinfo/%d", h.fd)))
	return string(text), err
}

// vanished lets a running program close what is being looked at.
func (d *Draft) vanished(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, sys.EBADF) {
		return nil
	}
	return fmt.Errorf("look at descriptors: %w", err)
}

// known is the open file description of fd when another descriptor has it too.
func (d *Draft) known(fd int, first map[int]int) int {
	pid := d.s.Proc.PID
	for i, other := range first {
		if n, err := sys.Kcmp(pid, pid, sys.KCMP_FILE, other, fd); err == nil && n == 0 {
			return i
		}
	}
	return -1
}

// describe tells what a descriptor refers to; false when it cannot be carried.
func (d *Draft) describe(h *handle, text string) (image.Open, bool) {
	no := func(why, do string) (image.Open, bool) {
		d.obstacle(h.link, h.owner(), why, do)
		return image.Open{}, false
	}
	if n, ok := d.stream(h); ok {
		o := image.Open{Type: image.Stream, Stream: n}
		if h.stat.IsRegular() { // only to take it back there
			f := identify(h.link, h.stat)
			o.File, o.Offset = &f, h.offset()
		}
		return o, true
	}
	if async := uint64(0o20000); h.number("flags", 8)&async != 0 {
		return no("signals for its readiness (O_ASYNC) are not carried yet", "nothing to be done yet")
	}
	switch {
	case strings.HasPrefix(h.link, "/memfd:"):
		return d.memfd(h)
	case h.stat.IsRegular():
		return d.regular(h, text)
	case h.stat.IsDirectory():
		f := identify(h.link, h.stat)
		if f.Deleted {
			return no("the directory has been removed", "have the program close it")
		}
		return image.Open{Type: image.Directory, File: &f, Offset: h.offset()}, true
	case h.stat.IsCharDevice():
		return d.device(h, no)
	case h.stat.IsPipe() && strings.HasPrefix(h.link, "pipe:"):
		return d.pipe(h)
	case h.stat.IsPipe():
		return no("named pipes are not carried yet", "have the program close it")
	case h.stat.IsSocket():
		return d.socket(h, no)
	}
	return d.anonymous(h, text, no)
}

func (h *handle) offset() int64 { return int64(h.number("pos", 10)) }

// stream tells whether the descriptor is one of the standard streams that popcorn
// run gave the program. A file that is read as standard input is none: it matters
// how far that has got.
func (d *Draft) stream(h *handle) (int, bool) {
	reads := h.number("flags", 8)&3 == sys.O_RDONLY
	if h.stat.IsDirectory() || h.link == "/dev/null" || h.stat.IsRegular() && reads {
		return 0, false
	}
	for n := range 3 {
		st, err := sys.StatFile(fmt.Sprintf("/proc/%d/fd/%d", d.s.Run, n))
		if err == nil && st.Dev == h.stat.Dev && st.Ino == h.stat.Ino && h.sameAccess(d.s.Run, n) {
			return n, true
		}
	}
	return 0, false
}

// sameAccess tells whether run's descriptor n is for reading or writing as this
// one is: both ends of a pipe are one inode.
func (h *handle) sameAccess(run, n int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", run, n))
	return err == nil && parseLines(string(b)).number("flags", 8)&3 == h.number("flags", 8)&3
}

func (d *Draft) regular(h *handle, text string) (image.Open, bool) {
	f := identify(strings.TrimSuffix(h.link, " (deleted)"), h.stat)
	o := image.Open{Type: image.Regular, File: &f, Offset: h.offset(), Locks: parseLocks(text)}
	if strings.HasPrefix(h.link, "/proc/") || strings.HasPrefix(h.link, "/sys/") {
		f.Deleted, f.Size, f.Mtime = false, 0, 0
	}
	if f.Deleted {
		o.Blob = d.carryFile(h)
	}
	return o, true
}

// carryFile notes that the content of h's file goes along. The descriptor is one
// for reading, whatever h's is.
func (d *Draft) carryFile(h *handle) int {
	fd, err := sys.Open(fmt.Sprintf("/proc/self/fd/%d", h.ours), sys.O_RDONLY|sys.O_CLOEXEC, 0)
	if err != nil {
		d.obstacle(h.link, h.owner(), "a removed file whose content cannot be read: "+err.Error(), "have the program close it")
		return 0
	}
	d.blobs = append(d.blobs, blob{fd: fd, size: h.stat.Size})
	return len(d.blobs)
}

func (d *Draft) memfd(h *handle) (image.Open, bool) {
	p := &d.Image.Process
	name := memfdName(h.link)
	seals, err := sys.Seals(h.ours)
	if err != nil {
		d.obstacle(h.link, h.owner(), "its seals cannot be read: "+err.Error(), "have the program close it")
		return image.Open{}, false
	}
	// Mappings of it are another object: what they share would be lost.
	for _, m := range p.Mappings {
		if m.Kind == image.OfObject && p.Objects[m.Object].Name == name && name != "" && p.Objects[m.Object].Size <= uint64(h.stat.Size) {
			p.Objects[m.Object].Size, p.Objects[m.Object].Seals = uint64(h.stat.Size), seals
			p.Objects[m.Object].Blob = d.carryFile(h)
			return image.Open{Type: image.Memfd, Object: m.Object, Offset: h.offset()}, true
		}
	}
	p.Objects = append(p.Objects, image.Object{Name: name, Size: uint64(h.stat.Size), Seals: seals, Blob: d.carryFile(h)})
	return image.Open{Type: image.Memfd, Object: len(p.Objects) - 1, Offset: h.offset()}, true
}

// devices are those that have no state, by their numbers: where it was opened, and
// in which /dev, makes no difference (null(4), random(4), tty(4)).
var devices = map[uint64]string{1<<8 | 3: "/dev/null", 1<<8 | 5: "/dev/zero", 1<<8 | 7: "/dev/full", 1<<8 | 8: "/dev/random",
	1<<8 | 9: "/dev/urandom", 5 << 8: "/dev/tty"}

func (d *Draft) device(h *handle, no func(why, do string) (image.Open, bool)) (image.Open, bool) {
	name, stateless := devices[h.stat.Rdev]
	if !stateless {
		return no("a device, or a terminal that is not popcorn run's own", "have the program close it")
	}
	f := identify(name, h.stat)
	f.Deleted = false // it may be that of another /dev
	return image.Open{Type: image.Device, File: &f}, true
}

// parseLocks reads the lines "lock: 1: POSIX ADVISORY WRITE 4711 fe:00:123 0 EOF".
func parseLocks(text string) (out []image.Lock) {
	for line := range strings.SplitSeq(text, "\n") {
		rest, ok := strings.CutPrefix(line, "lock:")
		f := strings.Fields(rest)
		if !ok || len(f) < 8 {
			continue
		}
		l := image.Lock{Kind: f[1], Write: f[3] == "WRITE", End: -1}
		l.Start, _ = strconv.ParseInt(f[6], 10, 64)
		if end, err := strconv.ParseInt(f[7], 10, 64); err == nil {
			l.End = end + 1
		}
		out = append(out, l)
	}
	return out
}
