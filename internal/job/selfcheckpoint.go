package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// popcorn_checkpoint saves the whole job from within, as setjmp(3) does a place in a
// program: it returns 0 in the job that was saved, once the image is written, and 1 in
// one that is restored from it.

// byItself is the thread that has asked for a checkpoint, which stands stopped in that
// call; ctx is its state behind it.
type byItself struct {
	t   *thread
	ctx *guest.Context
}

func (b *byItself) is(t *thread) bool { return b != nil && b.t == t }

// restored is its state in the image.
func (b *byItself) restored() *guest.Context {
	ctx := b.ctx.Clone()
	ctx.Result(1)
	return ctx
}

// checkpointCall makes popcorn_checkpoint of t, which it made at node from; at is the
// path of the image.
func (o *origin) checkpointCall(t *thread, ctx *guest.Context, at vm.Addr, from coherence.NodeID) {
	back := func(ret int64) {
		if t.where != gone {
			o.popcornDone(t, ctx, ret, from)
		}
	}
	if o.saving != nil {
		back(-int64(sys.EBUSY))
		return
	}
	o.peekPath(at, nil, func(path string, e sys.Errno) {
		if e == 0 && !filepath.IsAbs(path) {
			dir, err := os.Readlink(fmt.Sprintf("/proc/%d/task/%d/cwd", o.proc.PID, t.tid))
			if err != nil {
				e = sys.ENOENT
			}
			path = filepath.Join(dir, path)
		}
		if e != 0 {
			back(-int64(e))
			return
		}
		o.checkpoint(context.Background(), control.Checkpoint{File: path}, &byItself{t, ctx}, func(done control.Checkpointed, err error) {
			back(o.selfSaved(path, done, err))
		})
	})
}

// selfSaved is what the call returns, -errno for a failure; what no errno says is told
// to a person.
func (o *origin) selfSaved(path string, done control.Checkpointed, err error) int64 {
	if len(done.Obstacles) > 0 {
		err = &obstacles{done.Obstacles}
	}
	var e sys.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
	case len(done.Obstacles) > 0, errors.Is(err, control.ErrRefused):
		e = sys.EOPNOTSUPP
	default:
		e = sys.EIO
	}
	if !o.ended {
		o.report(fromSupervisor{Notice: fmt.Sprintf("the program has not saved itself to %s: %v", path, err)})
	}
	return -int64(e)
}

// pathMax is the length of a path with the byte that ends it (linux/limits.h).
const pathMax = 4096

// peekPath calls f with the string at a, of which head is read.
func (o *origin) peekPath(a vm.Addr, head []byte, f func(string, sys.Errno)) {
	n := min(int(vm.PageSize-uint64(a)%vm.PageSize), pathMax-len(head))
	if n == 0 {
		f("", sys.ENAMETOOLONG)
		return
	}
	o.peek(a, n, func(b []byte, err error) {
		if err != nil {
			f("", sys.EFAULT)
			return
		}
		head := append(head, b...)
		switch i := bytes.IndexByte(head, 0); {
		case i == 0:
			f("", sys.ENOENT)
		case i > 0:
			f(string(head[:i]), 0)
		default:
			o.peekPath(a+vm.Addr(n), head, f)
		}
	})
}
