package job

import (
	"errors"
	"fmt"

	"popcorn/internal/carry"
	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// restore makes the program from its image, and lets it run.
func (o *origin) restore() error {
	src, err := carry.Open(o.cfg.Spec.Image)
	if err != nil {
		return err
	}
	defer src.Close()
	if o.cfg.Spec.PutBack != "" {
		if err := o.putBack(src); err != nil {
			return err
		}
	}
	if err := src.Fits(); err != nil {
		return err
	}
	made, err := src.Rebuild(carry.Build{
		Tracer: o.tracer, Numbers: o.abi.Numbers(),
		Stub: sys.SpawnAttr{Argv: o.cfg.Spec.Argv, Dir: "/", Files: o.cfg.Files[:3], Pgid: o.cfg.Pgid, Pdeathsig: sys.SIGKILL},
		Made: func(p *guest.Process) {
			o.proc = p
			o.guest.Store(int32(p.Pidfd))
			o.report(fromSupervisor{Keep: true}, p.Pidfd)
		},
	})
	if err != nil {
		return err
	}
	if made.Confined && o.cfg.Spec.Nodes > 1 {
		return errors.New("its process ids are taken, and in a namespace of their own a program stays home: end that process, or restore on one node")
	}
	if err := o.letGoOfFiles(); err != nil {
		return err
	}
	if err := o.serve(); err != nil {
		return err
	}
	o.report(fromSupervisor{PID: o.proc.PID})
	o.saveRegularly()
	var all []*thread
	for i, t := range src.Image.Threads {
		n := o.newThread(made.TIDs[i], o.placeRestored(i))
		n.stopped, n.born, n.cleartid = true, true, vm.Addr(t.ClearTID)
		n.cut = restoredCut(&t)
		all = append(all, n)
	}
	for _, t := range all {
		o.bear(t)
	}
	o.logf("restored %d threads from %s", len(all), o.cfg.Spec.Image)
	return nil
}

// placeRestored is where the i-th thread of an image lives.
func (o *origin) placeRestored(i int) coherence.NodeID {
	spec := &o.cfg.Spec
	switch {
	case spec.Spread:
		o.nextSpread = i
		return spec.spreadTo(i)
	case spec.On >= 0:
		return coherence.NodeID(spec.On)
	}
	return coherence.Home
}

// Restorable tells what the image in a file is of, or why it cannot be restored
// here. With whole it reads all of the file and checks it.
func Restorable(file string, whole bool) (*image.Image, error) {
	src, err := carry.Open(file)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if err := src.Fits(); err != nil {
		return nil, fmt.Errorf("restore %s: %w", file, err)
	}
	if whole {
		err = src.Verify()
	}
	return src.Image, err
}
