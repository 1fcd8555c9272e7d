package job

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"popcorn/internal/carry"
	"popcorn/internal/control"
)

// saveRegularly has the job saved by itself, if it is to be, some time after now
// and after each checkpoint.
func (o *origin) saveRegularly() {
	spec := &o.cfg.Spec
	if spec.Checkpoint == "" {
		return
	}
	o.loop.after(spec.CheckpointEvery, func() {
		if o.ended {
			return
		}
		o.checkpoint(context.Background(), control.Checkpoint{File: spec.Checkpoint}, nil, func(done control.Checkpointed, err error) {
			o.saved(done, err)
			o.saveRegularly()
		})
	})
}

// saved tells run how that went, and a person when it begins to go wrong.
func (o *origin) saved(done control.Checkpointed, err error) {
	if len(done.Obstacles) > 0 {
		err = &obstacles{done.Obstacles}
	}
	switch {
	case o.ended || o.loop.stopped:
	case err == nil:
		o.unsaved = false
		o.report(fromSupervisor{Saved: true})
	case !o.unsaved:
		o.unsaved = true
		o.report(fromSupervisor{Notice: fmt.Sprintf("the program was not saved to %s, and will be tried again: %v", o.cfg.Spec.Checkpoint, err)})
	}
}

// putBack undoes what the program has appended to files since it was saved.
func (o *origin) putBack(src *carry.Source) error {
	doubts, err := src.PutBack()
	// Now, for it may go to a file that was put back itself.
	o.report(fromSupervisor{Notice: o.cfg.Spec.PutBack})
	for _, d := range doubts {
		o.report(fromSupervisor{Notice: d.Error()})
	}
	return err
}

// without is the job, from its last checkpoint on, without a node: the others move
// up, and what was to live there lives at home.
func (s Spec) without(n int) Spec {
	s.Image = s.Checkpoint
	switch {
	case s.On == n:
		s.On = 0
	case s.On > n:
		s.On--
	}
	s.Nodes--
	if len(s.Hosts) > 0 {
		s.Hosts = slices.Delete(slices.Clone(s.Hosts), n, n+1)
	}
	if len(s.Slots) > 0 {
		s.Slots = slices.Delete(slices.Clone(s.Slots), n, n+1)
	}
	if s.Nodes == 1 {
		s.Hosts, s.Slots = nil, nil
	}
	return s
}

// CheckLossPolicy tells what is wrong with what a job is to do about checkpoints.
func (s *Spec) CheckLossPolicy() error {
	switch {
	case s.RestoreOnLoss && s.Checkpoint == "":
		return errors.New("--on-loss restore needs --checkpoint FILE to restore from")
	case s.CheckpointEvery <= 0:
		return errors.New("--checkpoint-every: a time above 0 is wanted, as 30s")
	}
	return nil
}
