package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"popcorn/internal/node/api"
	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// drainRecord is what a later life of the daemon has to know.
type drainRecord struct {
	Draining bool      `json:"draining"`
	Since    time.Time `json:"since,omitzero"`
	// Boot is the one that Told is of: the deputies that were asked to go. A
	// second signal would end them at once, and their jobs.
	Boot string    `json:"boot"`
	Told []process `json:"told"`
}

// drain empties this node: it lets no deputy in, and asks each that is there to
// go, once in its life.
type drain struct {
	dir      trust.Dir
	deputies *deputies
	members  *membership
	log      *slog.Logger
	name     string

	mu     sync.Mutex
	rec    drainRecord
	ending bool // the daemon: undo lets nobody in any more
}

// openDrain reads what was remembered; begin again is for later.
func openDrain(dir trust.Dir, deputies *deputies, members *membership, name string, log *slog.Logger) (*drain, error) {
	d := &drain{dir: dir, deputies: deputies, members: members, name: name, log: log}
	if err := dir.ReadJSON(drainFile, &d.rec); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	boot, err := thisBoot()
	if err != nil {
		return nil, err
	}
	if d.rec.Boot != boot {
		d.rec.Boot, d.rec.Told = boot, nil
	}
	return d, nil
}

// resume goes on with what an earlier life of the daemon began.
func (d *drain) resume() error {
	if !d.rec.Draining {
		return nil
	}
	return d.begin()
}

// do is what another asks for, and how things are then.
func (d *drain) do(action api.DrainAction) (*api.Drained, error) {
	switch action {
	case api.DrainAction_DRAIN_ACTION_UNSPECIFIED:
	case api.DrainAction_DRAIN_ACTION_BEGIN:
		if err := d.begin(); err != nil {
			return nil, fmt.Errorf("empty node %s: %w", d.name, err)
		}
	case api.DrainAction_DRAIN_ACTION_UNDO:
		if err := d.undo(); err != nil {
			return nil, fmt.Errorf("let programs in again: %w", err)
		}
	default:
		return nil, fmt.Errorf("drain: unknown action %d: %w", action, ErrMalformed)
	}
	return d.ask()
}

// begin empties the node until undo, and remembers that.
func (d *drain) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deputies.shut(refuseDraining(d.name))
	if !d.rec.Draining {
		d.rec.Draining, d.rec.Since = true, time.Now()
		d.log.Info("node is being emptied")
	}
	d.members.become(Draining, d.rec.Since)
	return d.tell()
}

// stop empties the node because its daemon ends; nobody remembers that.
func (d *drain) stop(within time.Duration) error {
	d.mu.Lock()
	d.ending = true
	d.deputies.shut(fmt.Errorf("node %s takes no more programs: its daemon ends: %w", d.name, ErrRefused))
	d.members.become(Draining, time.Now())
	// Before they are asked: one that is about to end says no more whose it is.
	here, err := d.deputies.census()
	if err == nil {
		defer here.close()
		err = d.tell()
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	left := here.await(within)
	if left > 0 {
		d.log.Warn("programs are still here", "deputies", left, "waited", within)
	}
	return nil
}

// undo lets deputies in again. Those that were asked to go still do.
func (d *drain) undo() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.rec.Draining {
		return nil
	}
	rec := d.rec
	rec.Draining, rec.Since = false, time.Time{}
	if err := d.dir.WriteJSON(drainFile, rec); err != nil {
		return err
	}
	d.rec = rec
	if !d.ending {
		d.deputies.shut(nil)
		d.members.become(Alive, time.Now())
	}
	d.log.Info("node is not being emptied any more")
	return nil
}

// ask tells how many deputies are here, and whether the node is being emptied.
func (d *drain) ask() (*api.Drained, error) {
	here, err := d.deputies.census()
	if err != nil {
		return nil, err
	}
	defer here.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	return &api.Drained{Left: uint32(len(here)), Draining: d.rec.Draining}, nil
}

// tell asks the deputies that are here to go, but for those that were asked
// before. It is written down first: one that is never asked does less harm
// than one that is asked twice.
func (d *drain) tell() error {
	here, err := d.deputies.census()
	if err != nil {
		return err
	}
	defer here.close()
	rec, told := d.rec, []process{}
	var fresh crowd
	for _, p := range here {
		if !slices.Contains(d.rec.Told, p.process) {
			fresh = append(fresh, p)
		}
		told = append(told, p.process)
	}
	rec.Told = told
	if err := d.dir.WriteJSON(drainFile, rec); err != nil {
		return err
	}
	d.rec = rec
	return d.signal(fresh)
}

func (d *drain) signal(fresh crowd) error {
	var errs []error
	for _, p := range fresh {
		switch err := sys.PidfdSendSignal(p.pidfd, sys.SIGTERM); {
		case err == nil:
			d.log.Info("deputy asked to go", "pid", p.PID, "uid", p.uid)
		case !errors.Is(err, sys.ESRCH): // it has ended meanwhile
			errs = append(errs, fmt.Errorf("ask deputy %d of user %d to go: %w", p.PID, p.uid, err))
		}
	}
	return errors.Join(errs...)
}

// Drain implements the API.
func (l localCalls) Drain(ctx context.Context, req *api.DrainRequest) (*api.DrainResponse, error) {
	if err := onlyMaster(ctx, "empty nodes"); err != nil {
		return nil, err
	}
	m, err := findMember(l.d.members.List(), cmp.Or(req.Node, l.d.self.Name))
	if err != nil {
		return nil, err
	}
	if m.Name == l.d.self.Name {
		state, err := l.d.drain.do(req.Action)
		return &api.DrainResponse{State: state}, err
	}
	c := newCaller(l.d.id, m.Name, m.Address)
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout) // before our own caller loses patience
	defer cancel()
	reply, err := c.peer.DrainHere(ctx, &api.DrainHereRequest{ApiVersion: api.Version, Action: req.Action})
	if err := fromWire(err, unreachable(m.Name, m.Address)); err != nil {
		return nil, fmt.Errorf("drain node %s: %w", m.Name, err)
	}
	l.d.members.hear(reply.Statement)
	return &api.DrainResponse{State: reply.State}, nil
}
