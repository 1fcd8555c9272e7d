package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"popcorn/internal/cgroup"
	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// Daemon is a running node.
type Daemon struct {
	cfg      Config
	log      *slog.Logger
	state    *state
	id       *trust.Node
	self     Member // as it began
	audit    *audit
	deputies *deputies
	groups   *cgroup.Tree // nil: nothing is limited
	drain    *drain
	members  membership

	// At the founding node the first three, at others the fourth.
	auth     *trust.Authority
	ruling   sync.Mutex // who is in: one change at a time, or one that is removed renews its certificate meanwhile
	registry *registry
	follower *follower

	servers servers
	cancel  context.CancelFunc
	wg      sync.WaitGroup // membership, deputies, servers
	over    chan error     // a server that failed, or nil when the node has left
}

// closeGrace is how long requests under way may take once the daemon ends.
const closeGrace = 3 * time.Second

// Start starts the daemon of the node whose state is in cfg.State, founding a
// cluster if there is none. It ends by Close only.
func Start(cfg Config) (*Daemon, error) {
	cfg.fill()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	st, err := openState(cfg.State)
	if err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, log: cfg.Log, state: st, over: make(chan error, 4)}
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return d, nil
}

// release gives back what start took before anything ran.
func (d *Daemon) release() error {
	err := d.servers.closeListeners()
	if d.deputies != nil {
		d.deputies.release()
	}
	if d.audit != nil {
		err = errors.Join(err, d.audit.close())
	}
	return errors.Join(err, d.state.close())
}

func (d *Daemon) start() error {
	id, rec, err := d.state.load(d.cfg)
	if err != nil {
		return err
	}
	d.id = id
	if d.groups, err = cgroup.Open(d.cfg.Cgroup, d.cfg.all(), d.cfg.each()); err != nil {
		return err // never without a limit that was asked for
	}
	if d.audit, err = openAudit(d.state.dir, d.log); err != nil {
		return err
	}
	if answers(d.cfg.Socket) {
		return fmt.Errorf("open socket %s: a daemon listens there already", d.cfg.Socket)
	}
	if d.servers.tcp, err = net.Listen("tcp", rec.Listen); err != nil {
		return fmt.Errorf("listen for other nodes: %w", err)
	}
	addr, err := advertised(rec.Advertise, d.servers.tcp.Addr(), rec.Authority)
	if err == nil {
		err = checkAddress(addr)
	}
	if err != nil {
		return err
	}
	d.self = ownMember(rec.Name, addr, d.cfg.Version, rec.Founder == "")
	d.self.Limits, d.self.Each = d.cfg.all(), d.cfg.each()
	if err := d.openMembership(rec); err != nil {
		return err
	}
	d.deputies = newDeputies(d.cfg, d.audit, d.groups)
	if err := d.deputies.adopt(); err != nil {
		return err
	}
	if d.drain, err = openDrain(d.state.dir, d.deputies, d.members, rec.Name, d.log); err != nil {
		return err
	}
	if d.servers.unix, err = listenLocal(d.cfg.Socket); err != nil {
		return err
	}
	if err := d.drain.resume(); err != nil {
		return err
	}
	d.run()
	return nil
}

func (d *Daemon) openMembership(rec record) error {
	if rec.Founder != "" {
		var err error
		d.follower, err = newFollower(d.state.dir, d.id, d.self, rec, d.cfg)
		d.members = d.follower
		return err
	}
	var err error
	if d.auth, err = trust.OpenAuthority(d.state.dir); err != nil {
		return err
	}
	if d.registry, err = openRegistry(d.state.dir, d.cfg.Beat, d.self); err != nil {
		return err
	}
	d.members = d.registry
	return d.id.SetRevoked(d.auth.Revoked())
}

// run starts all that goes on until Close.
func (d *Daemon) run() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.servers.build(d)
	jobs := []func(){
		func() { d.members.run(ctx) },
		func() { d.deputies.run(ctx) },
		func() { d.over <- d.servers.serveLocal() },
		func() { d.over <- d.servers.servePeers() },
	}
	if d.auth != nil {
		jobs = append(jobs, func() { d.renewOwn(ctx) })
	}
	for _, job := range jobs {
		d.wg.Go(job)
	}
	d.log.Info("node serves", "name", d.self.Name, "cluster", d.id.Identity().Cluster, "address", d.self.Address, "founder", d.self.Founder)
}

// renewOwn renews the founding node's certificate in time.
func (d *Daemon) renewOwn(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if time.Now().After(d.id.RenewAt()) {
			if err := d.id.RenewBy(d.auth); err != nil {
				d.log.Error("certificate not renewed", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Self is this node.
func (d *Daemon) Self() Member {
	for _, m := range d.members.List() {
		if m.Name == d.self.Name {
			return m
		}
	}
	return d.self
}

// Wait returns when ctx ends, when the node has left its cluster, or with the
// error of what failed.
func (d *Daemon) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.over:
		return err
	}
}

// Close ends the daemon: requests under way may finish for a moment, deputies
// live on.
func (d *Daemon) Close() error {
	err := d.servers.shutdown(closeGrace)
	d.cancel()
	d.wg.Wait()
	if d.groups != nil {
		if rm := d.groups.Remove(); rm != nil && !errors.Is(rm, sys.EBUSY) { // programs go on in theirs
			err = errors.Join(err, rm)
		}
	}
	if rm := os.Remove(d.cfg.Socket); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return errors.Join(err, d.audit.close(), d.state.close())
}

// Serve is a daemon from start to end, which comes with ctx.
func Serve(ctx context.Context, cfg Config) error {
	d, err := Start(cfg)
	if err != nil {
		return err
	}
	if err := notify("READY=1"); err != nil {
		d.log.Warn(err.Error())
	}
	err = d.Wait(ctx)
	if e := notify("STOPPING=1"); e != nil {
		d.log.Warn(e.Error())
	}
	if ctx.Err() != nil && d.cfg.DrainOnStop {
		err = errors.Join(err, d.drainBeforeEnd())
	}
	d.log.Info("node ends", "name", d.self.Name)
	return errors.Join(err, d.Close())
}

// drainBeforeEnd empties this node for a bounded time. The service manager is
// told to bear with it for that long.
func (d *Daemon) drainBeforeEnd() error {
	within := d.cfg.DrainTimeout
	if err := notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (within + 2*closeGrace).Microseconds())); err != nil {
		d.log.Warn(err.Error())
	}
	err := d.drain.stop(within)
	e := event{What: "Drain", Who: "the daemon, before its end", On: "this node"}
	e.Result, e.Reason = result(err)
	d.audit.write(e)
	if err != nil {
		return fmt.Errorf("empty this node: %w", err)
	}
	return nil
}
