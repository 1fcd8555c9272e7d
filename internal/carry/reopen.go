package carry

import (
	"fmt"

	"popcorn/internal/image"
	"popcorn/internal/sys"
)

const (
	sysLseek      = 8
	sysSignalfd4  = 289
	sysTimerSet   = 286 // timerfd_settime
	sysFlock      = 73
	setFlags      = 4                                         // F_SETFL
	setLock       = 6                                         // F_SETLK
	setOFDLock    = 37                                        // F_OFD_SETLK
	setPipeRoom   = 1031                                      // F_SETPIPE_SZ
	setTicks      = 0x40085400                                // TFD_IOC_SET_TICKS
	settableFlags = 0o2000 | 0o4000 | 0o40000 | 0o1000000     // O_APPEND O_NONBLOCK O_DIRECT O_NOATIME
	onlyAtOpening = 0o100 | 0o200 | 0o400 | 0o1000 | 0o400000 // O_CREAT O_EXCL O_NOCTTY O_TRUNC O_NOFOLLOW
)

// files opens what the program had open and gives it its numbers.
func (r *rebuilder) files() error {
	pipes, sockets := map[uint64]bool{}, map[uint64]bool{}
	for i := range r.p.Files {
		o := &r.p.Files[i]
		var err error
		switch {
		case pipes[o.Pipe], sockets[o.Socket]: // the other end was made with it
		case o.Pipe != 0:
			pipes[o.Pipe] = true
			err = r.pipe(o.Pipe)
		case o.Socket != 0:
			sockets[o.Socket], sockets[o.Peer] = true, o.Peer != 0
			err = r.socketPair(o)
		default:
			err = r.reopen(i, o)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", describe(o), err)
		}
	}
	return r.number()
}

// describe names a description to a person.
func describe(o *image.Open) string {
	if o.File != nil {
		return o.Type + " " + o.File.Path
	}
	return o.Type
}

// number gives descriptors their numbers, and then does what needs them.
func (r *rebuilder) number() error {
	taken := map[int]bool{}
	for _, n := range r.p.FDs {
		taken[n.FD] = true
		flags := uint64(0)
		if n.CloExec {
			flags = sys.O_CLOEXEC
		}
		if _, err := r.call(sys.SYS_DUP3, uint64(r.base+n.File), uint64(n.FD), flags); err != nil {
			return fmt.Errorf("descriptor %d: %w", n.FD, err)
		}
	}
	for fd := range 3 {
		if !taken[fd] {
			r.call(sys.SYS_CLOSE, uint64(fd)) // EBADF: popcorn had none either
		}
	}
	if err := r.watch(); err != nil {
		return err
	}
	if _, err := r.call(sys.SYS_CLOSE_RANGE, uint64(r.base), 1<<32-1); err != nil {
		return err
	}
	return r.lock() // closing any descriptor of a file gives its locks up
}

// reopen makes description i at its place above all numbers.
func (r *rebuilder) reopen(i int, o *image.Open) error {
	fd, err := r.made(o)
	if err != nil {
		return err
	}
	if o.Type == image.Stream {
		_, err := r.call(sys.SYS_DUP3, fd, uint64(r.base+i), sys.O_CLOEXEC)
		return err
	}
	return r.moved(fd, r.base+i)
}

func (r *rebuilder) made(o *image.Open) (uint64, error) {
	nonblock := uint64(o.Flags) & sys.O_NONBLOCK
	switch o.Type {
	case image.Stream:
		return uint64(o.Stream), nil
	case image.Regular:
		return r.regular(o)
	case image.Directory, image.Device:
		fd, err := r.open(o.File.Path, o.Flags&^onlyAtOpening)
		if err != nil || o.Offset == 0 {
			return fd, err
		}
		_, err = r.call(sysLseek, fd, uint64(o.Offset), 0)
		return fd, err
	case image.EventFD:
		return r.eventfd(o, nonblock)
	case image.TimerFD:
		return r.timerfd(o, nonblock)
	case image.SignalFD:
		at, err := r.scratch.Put(le.AppendUint64(nil, o.Mask))
		if err != nil {
			return 0, err
		}
		return r.call(sysSignalfd4, ^uint64(0), at, 8, nonblock)
	case image.Epoll:
		return r.call(sys.SYS_EPOLL_CREATE1, 0)
	case image.Memfd:
		fd, err := r.open(fmt.Sprintf("/proc/self/fd/%d", r.objectFD(o.Object)), o.Flags&^onlyAtOpening)
		if err != nil {
			return 0, err
		}
		_, err = r.call(sysLseek, fd, uint64(o.Offset), 0)
		return fd, err
	}
	return 0, fmt.Errorf("of an unknown kind: %w", image.ErrNewer)
}

// regular opens a file where it is, or its content that was carried along.
func (r *rebuilder) regular(o *image.Open) (uint64, error) {
	path := o.File.Path
	if o.Blob > 0 {
		at, err := r.path("carried")
		if err != nil {
			return 0, err
		}
		fd, err := r.call(sys.SYS_MEMFD_CREATE, at, sys.MFD_CLOEXEC)
		if err != nil {
			return 0, err
		}
		if err := r.fillFile(int(fd), o.Blob); err != nil {
			return 0, err
		}
		path = fmt.Sprintf("/proc/self/fd/%d", fd)
		defer r.call(sys.SYS_CLOSE, fd)
	}
	const tmpfile = 0o20000000 | sys.O_DIRECTORY // O_TMPFILE, a file without a name: it has one now, or is carried
	fd, err := r.open(path, o.Flags&^(onlyAtOpening|tmpfile))
	if err != nil {
		return 0, err
	}
	const oPath = 0o10000000
	if o.Flags&oPath != 0 {
		return fd, nil
	}
	_, err = r.call(sysLseek, fd, uint64(o.Offset), 0)
	return fd, err
}

func (r *rebuilder) eventfd(o *image.Open, flags uint64) (uint64, error) {
	if o.Sema {
		flags |= 1
	}
	fd, err := r.call(sys.SYS_EVENTFD2, 0, flags)
	if err != nil || o.Count == 0 {
		return fd, err
	}
	at, err := r.scratch.Put(le.AppendUint64(nil, o.Count))
	if err != nil {
		return 0, err
	}
	_, err = r.call(sys.SYS_WRITE, fd, at, 8)
	return fd, err
}

func (r *rebuilder) timerfd(o *image.Open, flags uint64) (uint64, error) {
	fd, err := r.call(sys.SYS_TIMERFD_CREATE, uint64(o.Clock), flags)
	if err != nil {
		return 0, err
	}
	if o.Value != 0 || o.Interval != 0 {
		at, err := r.scratch.Put(spec(o.Interval, o.Value))
		if err != nil {
			return 0, err
		}
		if _, err := r.call(sysTimerSet, fd, 0, at, 0); err != nil {
			return 0, err
		}
	}
	if o.Count == 0 {
		return fd, nil
	}
	at, err := r.scratch.Put(le.AppendUint64(nil, o.Count))
	if err == nil {
		_, err = r.call(sys.SYS_IOCTL, fd, setTicks, at)
	}
	return fd, err
}

// spec is a struct itimerspec of nanoseconds.
func spec(interval, value uint64) (b []byte) {
	for _, n := range []uint64{interval, value} {
		b = le.AppendUint64(b, n/1e9)
		b = le.AppendUint64(b, n%1e9)
	}
	return b
}

// pipe makes a pipe with its content, for all descriptions of its ends.
func (r *rebuilder) pipe(name uint64) error {
	if _, err := r.call(sys.SYS_PIPE2, r.scratch.Addr(), sys.O_CLOEXEC); err != nil {
		return err
	}
	b, err := r.scratch.Get(8)
	if err != nil {
		return err
	}
	in, out := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:]))
	for i := range r.p.Files {
		o := &r.p.Files[i]
		if o.Pipe != name {
			continue
		}
		if err := r.pipeEnd(i, o, in, out); err != nil {
			return err
		}
	}
	for _, fd := range []uint64{in, out} {
		if _, err := r.call(sys.SYS_CLOSE, fd); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuilder) pipeEnd(i int, o *image.Open, in, out uint64) error {
	fd := out
	if o.Type == image.PipeRead {
		fd = in
	}
	if o.Type == image.PipeBoth {
		both, err := r.open(fmt.Sprintf("/proc/self/fd/%d", in), sys.O_RDWR)
		if err != nil {
			return err
		}
		defer r.call(sys.SYS_CLOSE, both)
		fd = both
	}
	if _, err := r.call(sys.SYS_FCNTL, fd, setPipeRoom, uint64(o.Room)); err != nil {
		return fmt.Errorf("give it room for %d bytes: %w", o.Room, err)
	}
	if o.Blob > 0 {
		if err := r.pour(int(out), o.Blob); err != nil {
			return err
		}
	}
	return r.end(i, o, fd)
}

// end gives an end of a pipe or socket pair its flags, and puts it where description i
// is to be.
func (r *rebuilder) end(i int, o *image.Open, fd uint64) error {
	if _, err := r.call(sys.SYS_FCNTL, fd, setFlags, uint64(o.Flags&settableFlags)); err != nil {
		return err
	}
	_, err := r.call(sys.SYS_DUP3, fd, uint64(r.base+i), sys.O_CLOEXEC)
	return err
}

// pour writes a blob into a pipe of the program.
func (r *rebuilder) pour(fd, blob int) error {
	ours, err := r.theirs(fd, sys.O_WRONLY|sys.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer sys.Close(ours)
	return r.pourInto(ours, blob)
}

// pourInto writes a blob to a descriptor of ours.
func (r *rebuilder) pourInto(ours, blob int) error {
	i := r.Image.Blob(blob)
	if i < 0 {
		return fmt.Errorf("what waits in it: %w", image.ErrDamaged)
	}
	return r.segment(i, func(_ uint64, b []byte) error {
		for len(b) > 0 {
			n, err := sys.Write(ours, b)
			if err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	})
}

// watch has epoll instances watch again.
func (r *rebuilder) watch() error {
	for i, o := range r.p.Files {
		for _, w := range o.Watches {
			at, err := r.scratch.Put(le.AppendUint64(le.AppendUint32(nil, w.Events), w.Data))
			if err != nil {
				return err
			}
			const add = 1
			if _, err := r.call(sys.SYS_EPOLL_CTL, uint64(r.base+i), add, uint64(w.FD), at); err != nil {
				return fmt.Errorf("watch descriptor %d: %w", w.FD, err)
			}
		}
	}
	return nil
}

// lock takes the locks on files again.
func (r *rebuilder) lock() error {
	for _, n := range r.p.FDs {
		o := &r.p.Files[n.File]
		for _, l := range o.Locks {
			if err := r.lockOne(uint64(n.FD), l); err != nil {
				return fmt.Errorf("lock %s, which somebody else may have locked: %w", o.File.Path, err)
			}
		}
	}
	return nil
}

func (r *rebuilder) lockOne(fd uint64, l image.Lock) error {
	if l.Kind == "FLOCK" {
		how := uint64(1 | 4) // LOCK_SH | LOCK_NB
		if l.Write {
			how = 2 | 4
		}
		_, err := r.call(sysFlock, fd, how)
		return err
	}
	b := make([]byte, 32) // struct flock
	if l.Write {
		b[0] = 1
	}
	le.PutUint64(b[8:], uint64(l.Start))
	if l.End >= 0 {
		le.PutUint64(b[16:], uint64(l.End-l.Start))
	}
	at, err := r.scratch.Put(b)
	if err != nil {
		return err
	}
	op := uint64(setLock)
	if l.Kind == "OFDLCK" {
		op = setOFDLock
	}
	_, err = r.call(sys.SYS_FCNTL, fd, op, at)
	return err
}
