package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"popcorn/internal/carry"
	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// saving is one checkpoint of the job. Its steps: the threads come home, all of
// them stop, the pages come home, the program's state and a copy of its memory
// are taken, all go on; a goroutine writes the image.
type saving struct {
	o     *origin
	ctx   context.Context
	want  control.Checkpoint
	reply func(control.Checkpointed, error)
	began time.Duration
	// places is where threads lived that were called home.
	places map[*thread]coherence.NodeID
	tries  int
	// done lets the threads go on; nil when they are not stopped.
	done    func()
	stopped time.Duration // when they had stopped
	stood   time.Duration // how long they were
	held    bool          // the pages are, by hold
	hold    uint64
	by      *byItself    // who in the program wants it, nil for somebody outside
	before  *carry.Draft // while the program ran
	draft   *carry.Draft
	memory  *carry.Memory
	// written is closed when the goroutine that writes has ended, nil before it
	// begins; giveUp asks it to.
	written chan struct{}
	cancel  context.CancelFunc
	over    bool
	then    func() // what waits for the end of it
}

// maxStops is how often the threads are stopped to find all of them at rest, and
// restAgain how long they run in between.
const (
	maxStops  = 500
	restAgain = 2 * time.Millisecond
)

func (b *backend) Checkpoint(ctx context.Context, r control.Checkpoint) (control.Checkpointed, error) {
	return ask(ctx, b, func(o *origin, reply func(control.Checkpointed, error)) { o.checkpoint(ctx, r, nil, reply) })
}

func (o *origin) checkpoint(ctx context.Context, r control.Checkpoint, by *byItself, reply func(control.Checkpointed, error)) {
	none := control.Checkpointed{Version: 1}
	switch {
	case o.ended:
		reply(none, fmt.Errorf("the program has ended: %w", control.ErrNoSuchJob))
		return
	case o.saving != nil:
		reply(none, fmt.Errorf("another checkpoint of this job is under way: %w", control.ErrRefused))
		return
	case o.attached(): // its parent would see the copy that it forks aside
		reply(none, fmt.Errorf("a program that was attached to cannot be saved yet: start it with popcorn run: %w", control.ErrRefused))
		return
	case o.stop.on:
		reply(none, fmt.Errorf("the job is paused: popcorn resume it first: %w", control.ErrRefused))
		return
	}
	d, err := carry.Look(o.subject(nil))
	if err != nil {
		reply(none, err)
		return
	}
	d.Close()
	none.Obstacles = d.Obstacles
	if len(d.Obstacles) > 0 || r.Check {
		reply(none, nil)
		return
	}
	s := &saving{o: o, want: r, by: by, before: d, reply: reply, began: sys.Monotonic(), places: map[*thread]coherence.NodeID{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	o.saving = s
	s.gather()
}

// subject is the program as package carry wants it, its first thread first.
func (o *origin) subject(states map[*thread]resumption) carry.Subject {
	s := carry.Subject{Proc: o.proc, Run: o.cfg.RunPID, Filters: o.ownFilters(), Distributed: o.distributed}
	for _, t := range o.threads {
		st := carry.Stopped{TID: t.tid, ClearTID: uint64(t.cleartid), Context: states[t].ctx, Partial: states[t].partial, Wait: t.wait, WaitAt: t.waitAt}
		if t.tid == o.proc.PID {
			s.Threads = append([]carry.Stopped{st}, s.Threads...)
		} else {
			s.Threads = append(s.Threads, st)
		}
	}
	return s
}

// gather calls the threads home, and then has them stop.
func (s *saving) gather() {
	if s.giveUp() {
		return
	}
	var away []*thread
	for _, t := range s.o.threads {
		if !s.by.is(t) && (t.node != coherence.Home || t.place != coherence.Home) {
			if _, known := s.places[t]; !known {
				s.places[t] = t.place
			}
			away = append(away, t)
		}
	}
	s.o.moveAll(away, coherence.Home, true, true, func(error) {
		if !s.giveUp() {
			s.o.stopWorldUntil(s.stop)
		}
	})
}

// giveUp ends a checkpoint that nobody waits for any more.
func (s *saving) giveUp() bool {
	if s.over {
		return true
	}
	if err := s.ctx.Err(); err != nil {
		s.end(control.Checkpointed{}, fmt.Errorf("checkpoint was given up: %w", err))
		return true
	}
	return false
}

// stop goes on when all threads stand.
func (s *saving) stop(done func()) {
	s.done, s.stopped = done, sys.Monotonic()
	if s.giveUp() {
		return
	}
	if why := s.restless(); why != "" {
		s.again(why)
		return
	}
	if s.o.pager == nil {
		s.capture()
		return
	}
	// To be written, too: the kernel notes the processor in a thread's rseq area whenever
	// it lets one run on, and would wait there for us while we wait for an injected call.
	s.o.pager.HoldAll(coherence.Write, func(id uint64) {
		s.o.loop.post(func() {
			s.held, s.hold = true, id
			if s.over {
				s.release()
				return
			}
			s.capture()
		})
	})
}

// restless tells why a thread, as it stands, cannot be saved.
func (s *saving) restless() string {
	for _, t := range s.o.threads {
		switch {
		case t.where != atHome && t.where != homeIn:
			return fmt.Sprintf("thread %d is on its way", t.tid)
		case t.exiting:
			return fmt.Sprintf("thread %d is ending", t.tid)
		case t.group:
			return "the program is paused"
		case t.bears != 0:
			return fmt.Sprintf("thread %d is about to take a signal", t.tid)
		case !t.callable(), t.busy() && !s.by.is(t), t.landing != nil, t.single, t.execing, t.call != nil && (t.call.byButler || t.call.delivering || s.o.hasWritten(t)):
			return fmt.Sprintf("thread %d is in the middle of a call", t.tid)
		}
	}
	return ""
}

// again lets the threads run on for a moment and stops them anew.
func (s *saving) again(why string) {
	s.letGo()
	if s.tries++; s.tries >= maxStops {
		s.end(control.Checkpointed{}, fmt.Errorf("the program did not come to rest in %d attempts: %s", s.tries, why))
		return
	}
	s.o.loop.after(restAgain, s.gather)
}

// letGo ends the stop.
func (s *saving) letGo() {
	s.release()
	if s.done == nil {
		return
	}
	s.stood += sys.Monotonic() - s.stopped
	done := s.done
	s.done = nil
	done()
}

func (s *saving) release() {
	if s.held {
		s.held = false
		s.o.release(s.hold)
	}
}

// capture takes the state of the stopped program and its memory.
func (s *saving) capture() {
	if s.giveUp() {
		return
	}
	err := s.take()
	var found *obstacles
	switch {
	case errors.As(err, &found):
		s.end(control.Checkpointed{Version: 1, Obstacles: found.list}, nil)
		return
	case err != nil:
		s.end(control.Checkpointed{}, err)
		return
	}
	if !s.want.Kill {
		s.letGo()
		s.goBack()
	}
	s.written = make(chan struct{})
	go s.write()
}

// obstacles are found when the program stands still that were not there before.
type obstacles struct{ list []image.Obstacle }

func (o *obstacles) Error() string {
	var lines []string
	for _, x := range o.list {
		lines = append(lines, x.String())
	}
	return strings.Join(lines, "\n")
}

func (s *saving) take() (err error) {
	states := map[*thread]resumption{}
	for _, t := range s.o.threads {
		var r resumption
		switch {
		case s.by.is(t):
			r.ctx = s.by.restored()
		case t.where == homeIn:
			r.ctx, r.partial, err = s.o.resumesWith(t)
		case t.cut != nil:
			r.ctx, r.partial, err = t.cut.saved(t)
		}
		if err != nil {
			return err
		}
		states[t] = r
	}
	subject := s.o.subject(states)
	subject.Still = true
	subject.Before = s.before
	if s.draft, err = carry.Look(subject); err != nil {
		return err
	}
	if len(s.draft.Obstacles) > 0 {
		return &obstacles{s.draft.Obstacles}
	}
	if s.draft.Image.Process.CPU, err = json.Marshal(guest.ReadCPU()); err != nil {
		return fmt.Errorf("encode processor: %w", err)
	}
	err = s.draft.Capture()
	if err == nil {
		s.memory, err = s.draft.Keep(s.want.Kill)
	}
	return errors.Join(err, s.draft.Tidy())
}

// resumption is what a thread goes on with once it is restored: by default what its
// registers are now.
type resumption struct {
	ctx     *guest.Context
	partial *image.Partial
}

// resumesWith is the user state of a thread that is home while its shadow still
// makes its call, as if the thread itself were in that call.
func (o *origin) resumesWith(t *thread) (*guest.Context, *image.Partial, error) {
	var r sys.Regs
	if err := sys.GetRegs(t.tid, &r); err != nil {
		return nil, nil, fmt.Errorf("read registers of %d: %w", t.tid, err)
	}
	ctx, c := t.ctx.Clone(), t.call
	switch {
	case c == nil:
		return ctx, nil, nil
	case c.done && c.interrupted:
		ctx.Interrupted(c.nr, c.ret)
		return ctx, nil, nil
	case c.done:
		ctx.Result(c.ret)
		return ctx, nil, nil
	}
	state, ret := guest.Shadow(&r)
	moved := c.moved
	if (state == guest.ShadowCalled || state == guest.ShadowCalling && !restarting(&r)) && !c.madeAnew(ret) {
		if !o.endedShort(t, c, ret) {
			ctx.Result(c.total(ret))
			return ctx, nil, nil
		}
		moved += ret
	}
	switch {
	case moved > 0:
		p := &image.Partial{NR: c.nr, Args: callArgs(&ctx.Regs), Moved: moved}
		ctx.Again(c.nr)
		return ctx, p, nil
	case c.begun: // ctx is that of the interrupted call
	case state == guest.ShadowCalling && restarting(&r):
		ctx.Interrupted(c.nr, ret)
	default:
		ctx.Again(c.nr)
	}
	return ctx, nil, nil
}

// goBack sends the threads where they were.
func (s *saving) goBack() {
	for t, n := range s.places {
		if t.where != gone && n != coherence.Home && s.o.nodes[n] != nil && s.o.nodes[n].failed == nil {
			s.o.moveTo(t, n, func(error) {})
		}
	}
	s.places = nil
}

// write runs beside the loop.
func (s *saving) write() {
	size, err := s.memory.Write(s.want.File, s.ctx.Err)
	close(s.written)
	s.o.loop.post(func() { s.wrote(size, err) })
}

func (s *saving) wrote(size uint64, err error) {
	if s.over {
		return
	}
	done := control.Checkpointed{Version: 1, Bytes: size}
	if s.want.Kill && err == nil {
		s.o.kill(int(sys.SIGKILL))
	}
	s.end(done, err)
}

// end gives everything back and answers.
func (s *saving) end(done control.Checkpointed, err error) {
	if s.over {
		return
	}
	s.over = true
	s.cancel()
	if s.memory != nil {
		s.memory.Release()
	}
	if s.draft != nil {
		s.draft.Close()
	}
	s.letGo()
	s.goBack()
	s.o.saving = nil
	done.StoppedMS = float64(s.stood) / float64(time.Millisecond)
	done.TookMS = float64(sys.Monotonic()-s.began) / float64(time.Millisecond)
	s.reply(done, err)
	if s.then != nil {
		s.then()
	}
}

// programEnded answers who waits for a checkpoint of a program that is over.
func (s *saving) programEnded() {
	if s == nil || s.written != nil {
		return // what has been taken is written all the same
	}
	s.end(control.Checkpointed{}, fmt.Errorf("the program ended before it could be saved: %w", control.ErrNoSuchJob))
}

// delays has f run when the image is written, if one is being: the program whose
// state it holds is over, and that was no reason to lose it.
func (s *saving) delays(f func()) bool {
	if s == nil || s.written == nil {
		return false
	}
	s.then = f
	return true
}

// abandon ends a checkpoint with the job.
func (s *saving) abandon() {
	if s == nil {
		return
	}
	s.then = nil
	if s.written != nil {
		s.cancel()
		<-s.written
	}
	s.end(control.Checkpointed{}, errors.New("the job ended before its checkpoint was written"))
}
