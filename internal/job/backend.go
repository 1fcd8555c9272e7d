package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/sys"
)

// serve opens the job's control socket once the program, which has not run yet under
// us, is made.
func (o *origin) serve() (err error) {
	o.filters = o.proc.Filters(o.proc.PID)
	entry := control.Entry{ID: o.cfg.Job[:8], Name: o.cfg.Spec.Name, PID: o.proc.PID, Started: o.started}
	if o.server, err = control.Serve(context.Background(), entry, (*backend)(o)); err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	return nil
}

// backend answers the control socket; its methods run on other goroutines and
// have the loop do the work.
type backend origin

// ask runs f on the loop and returns what f, or what f started, sends.
func ask[T any](ctx context.Context, b *backend, f func(o *origin, reply func(T, error))) (T, error) {
	type result struct {
		v   T
		err error
	}
	ch := make(chan result, 1)
	o := (*origin)(b)
	o.loop.post(func() {
		f(o, func(v T, err error) {
			select {
			case ch <- result{v, err}:
			default:
			}
		})
	})
	select {
	case r := <-ch:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

type nothing struct{}

func (b *backend) Info(ctx context.Context) (control.Info, error) {
	return ask(ctx, b, func(o *origin, reply func(control.Info, error)) { reply(o.info(), nil) })
}

func (o *origin) info() control.Info {
	info := control.Info{Version: 1, ID: o.cfg.Job[:8], Name: o.cfg.Spec.Name, Family: o.cfg.Spec.Family, PID: o.proc.PID,
		Command: o.cfg.Spec.Argv, Started: o.started, State: control.StateRunning}
	switch {
	case o.ended:
		info.State = control.StateEnded
	case o.stop.on:
		info.State = control.StateStopped
	}
	for n := range o.cfg.Spec.Nodes {
		node := control.NodeInfo{NID: n, Name: o.cfg.Spec.nodeName(n), State: "online", Arch: "x86-64", Threads: o.count(coherence.NodeID(n))}
		if st := o.nodes[coherence.NodeID(n)]; n > 0 && (st == nil || st.failed != nil) {
			node.State = "offline"
		} else if n > 0 && st.draining {
			node.State = "draining"
		}
		info.Nodes = append(info.Nodes, node)
	}
	for _, t := range o.threads {
		state := t.where.String()
		if t.where == leaving || t.where == recalled || len(t.moved) > 0 {
			state = control.ThreadMigrating
		}
		info.Threads = append(info.Threads, control.ThreadInfo{TID: t.tid, Node: int(t.node), State: state, Comm: t.name(o.proc.PID)})
	}
	slices.SortFunc(info.Threads, func(a, b control.ThreadInfo) int { return a.TID - b.TID })
	return info
}

func (b *backend) Migrate(ctx context.Context, tids []int, node int, wait bool) error {
	_, err := ask(ctx, b, func(o *origin, reply func(nothing, error)) {
		o.migrate(tids, node, wait, func(err error) { reply(nothing{}, err) })
	})
	return err
}

func (o *origin) migrate(tids []int, node int, wait bool, done func(error)) {
	if node < 0 || node >= o.cfg.Spec.Nodes {
		done(fmt.Errorf("node %d of a job with %d: %w", node, o.cfg.Spec.Nodes, control.ErrNoSuchNode))
		return
	}
	if o.ended {
		done(fmt.Errorf("the program has ended: %w", control.ErrNoSuchJob))
		return
	}
	var ts []*thread
	for _, tid := range tids {
		t := o.threads[tid]
		if t == nil {
			done(fmt.Errorf("thread %d: %w", tid, control.ErrNoSuchThread))
			return
		}
		ts = append(ts, t)
	}
	if len(tids) == 0 {
		for _, t := range o.threads {
			ts = append(ts, t)
		}
	}
	o.moveAll(ts, coherence.NodeID(node), len(tids) == 0, wait, done)
}

// moveAll moves threads; those of a whole job that end meanwhile do not count.
func (o *origin) moveAll(ts []*thread, n coherence.NodeID, whole, wait bool, done func(error)) {
	left := len(ts) + 1
	var errs error
	one := func(err error) {
		if err != nil && !(whole && errors.Is(err, control.ErrNoSuchThread)) {
			errs = errors.Join(errs, err)
		}
		if left--; left == 0 && wait {
			done(errs)
		}
	}
	for _, t := range ts {
		o.moveTo(t, n, one)
	}
	one(nil)
	if !wait {
		done(nil)
	}
}

func (b *backend) Kill(ctx context.Context, sig int) error {
	_, err := ask(ctx, b, func(o *origin, reply func(nothing, error)) { reply(nothing{}, o.kill(sig)) })
	return err
}

func (o *origin) kill(sig int) error {
	err := sys.PidfdSendSignal(o.proc.Pidfd, sys.Signal(sig))
	if errors.Is(err, sys.ESRCH) {
		return fmt.Errorf("the program has ended: %w", control.ErrNoSuchJob)
	}
	if err != nil {
		return fmt.Errorf("send signal %d to process %d: %w", sig, o.proc.PID, err)
	}
	return nil
}

func (b *backend) Pause(ctx context.Context) error  { return b.Kill(ctx, int(sys.SIGSTOP)) }
func (b *backend) Resume(ctx context.Context) error { return b.Kill(ctx, int(sys.SIGCONT)) }

// inspection is everything known about a job.
type inspection struct {
	control.Info
	RunPID      int            `json:"run_pid"`
	Supervisors []processInfo  `json:"supervisors"`
	Stubs       []processInfo  `json:"stubs"`
	Distributed bool           `json:"distributed"`
	Attached    bool           `json:"attached"`
	Where       []threadDetail `json:"whereabouts"`
	Memory      []string       `json:"memory_waits"`
	Stats       statsDocument  `json:"stats"`
}

type processInfo struct {
	NID int `json:"nid"`
	PID int `json:"pid"`
}

type threadDetail struct {
	TID     int    `json:"tid"`
	Where   string `json:"where"`
	Node    int    `json:"node"`
	Place   int    `json:"place"`
	Call    int    `json:"call"`
	Stopped bool   `json:"stopped"`
	Errand  bool   `json:"errand"`
}

func (b *backend) Inspect(ctx context.Context) (json.RawMessage, error) {
	return ask(ctx, b, func(o *origin, reply func(json.RawMessage, error)) {
		o.gatherStats(func() {
			doc, err := json.Marshal(o.inspect())
			reply(doc, err)
		})
	})
}

func (o *origin) inspect() inspection {
	in := inspection{Info: o.info(), RunPID: o.cfg.RunPID, Distributed: o.distributed, Attached: o.attached(), Stats: o.document()}
	if o.pager != nil {
		in.Memory = o.pager.Machine().Busy()
	}
	for n, pid := range o.cfg.Supervisors {
		in.Supervisors = append(in.Supervisors, processInfo{n + 1, pid})
	}
	in.Supervisors = append(in.Supervisors, processInfo{0, sys.Getpid()})
	for n, st := range o.nodes {
		if st.joined {
			in.Stubs = append(in.Stubs, processInfo{int(n), st.pid})
		}
	}
	for _, t := range o.threads {
		d := threadDetail{TID: t.tid, Where: t.where.String(), Node: int(t.node), Place: int(t.place), Call: -1, Stopped: t.stopped, Errand: t.errand}
		if t.call != nil {
			d.Call = int(t.call.nr)
		}
		in.Where = append(in.Where, d)
	}
	return in
}

func (b *backend) Wait(ctx context.Context) (int, error) {
	return ask(ctx, b, func(o *origin, reply func(int, error)) {
		if o.ended {
			reply(o.code, nil)
			return
		}
		o.ending = append(o.ending, func(code int, err error) { reply(code, err) })
	})
}

func (b *backend) Detach(ctx context.Context) error {
	_, err := ask(ctx, b, func(o *origin, reply func(nothing, error)) {
		o.detach(func(err error) { reply(nothing{}, err) })
	})
	return err
}
