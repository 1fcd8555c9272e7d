package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"popcorn/internal/cgroup"
	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// Daemon is a running node.
type Daemon struct {
	mu       sync.Mutex // of cfg
	cfg      Config
	log      *slog.Logger
	state    *state
	id       *trust.Node
	self     Member // as it began
	audit    *audit
	meter    *meter
	deputies *deputies
	groups   *cgroup.Tree // nil: nothing is limited
	drain    *drain
	members  *membership

	// At the founding node only.
	auth     *trust.Authority
	ruling   sync.Mutex // who is in: one change at a time, or one that is removed renews its certificate meanwhile
	registry *registry

	surveying chan struct{} // holds one: who measures a link

	servers servers
	cancel  context.CancelFunc
	part    func()         // ends membership and what it has open at the servers
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
	d := &Daemon{cfg: cfg, log: cfg.Log, state: st, meter: newMeter(), surveying: make(chan struct{}, 1),
		over: make(chan error, 4)}
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
	if d.audit, err = openAudit(d.state.dir, d.meter, d.log); err != nil {
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
	if err := d.listenMetrics(); err != nil {
		return err
	}
	if err := d.drain.resume(); err != nil {
		return err
	}
	d.run()
	return nil
}

func (d *Daemon) openMembership(rec record) error {
	dir, err := openDirectory(d.state.dir, d.id)
	if err != nil {
		return err
	}
	own, err := newSpeaker(d.state.dir, d.id, d.self)
	if err != nil {
		return err
	}
	m := &membership{directory: dir, speaker: own, views: newViews(), news: make(chan struct{}, 1), beat: d.cfg.Beat, log: d.log}
	m.gossip = newGossip(m, d.id, d.self.Name, d.log)
	m.seen.Store(time.Now().UnixNano())
	d.members = m
	if rec.Founder != "" {
		m.hint = Member{Name: rec.Founder, Address: rec.Authority, State: Unreachable, Since: time.Now(), Founder: true}
		m.follower = newFollower(m, d.id, rec, d.log)
	} else if err := d.openAuthority(); err != nil {
		return err
	}
	m.tell()
	return nil
}

func (d *Daemon) openAuthority() error {
	var err error
	if d.auth, err = trust.OpenAuthority(d.state.dir); err != nil {
		return err
	}
	if err := d.id.SetRevoked(d.auth.Revoked()); err != nil {
		return err
	}
	d.registry, err = openRegistry(d.auth, d.members, !d.cfg.gossips())
	return err
}

// run starts all that goes on until Close.
func (d *Daemon) run() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	member, leave := context.WithCancel(ctx)
	gone := make(chan struct{})
	d.part = func() { leave(); <-gone }
	d.servers.build(d)
	jobs := []func(){
		func() { defer close(gone); d.members.run(member) },
		func() { d.deputies.run(ctx) },
		func() { d.members.settle(member); d.over <- d.servers.serveLocal() },
		func() { d.over <- d.servers.servePeers() },
	}
	if d.servers.metricsAt != nil {
		jobs = append(jobs, func() { d.over <- d.servers.serveMetrics() })
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
func (d *Daemon) Self() Member { return d.members.own() }

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
	d.part()
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
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, sys.SIGHUP) // it must never end the daemon, however early or late it comes
	defer signal.Stop(hup)
	d, err := Start(cfg)
	if err != nil {
		return err
	}
	d.members.settle(ctx)
	d.inform("READY=1")
	err = d.attend(ctx, hup)
	d.inform("STOPPING=1")
	if on, within := d.drainSettings(); ctx.Err() != nil && on {
		err = errors.Join(err, d.drainBeforeEnd(within))
	}
	d.log.Info("node ends", "name", d.self.Name)
	return errors.Join(err, d.Close())
}

// attend does what the service manager and SIGHUP ask for until the daemon is to
// end.
func (d *Daemon) attend(ctx context.Context, hup <-chan os.Signal) error {
	own, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { d.reloads(own, hup) })
	wg.Go(func() { d.guard(own, watchdog()) })
	defer wg.Wait()
	defer cancel()
	return d.Wait(ctx)
}

func (d *Daemon) drainSettings() (on bool, within time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg.DrainOnStop, d.cfg.DrainTimeout
}

// drainBeforeEnd empties this node for a bounded time. The service manager is
// told to bear with it for that long.
func (d *Daemon) drainBeforeEnd(within time.Duration) error {
	d.inform(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (within + 2*closeGrace).Microseconds()))
	err := d.drain.stop(within)
	e := event{What: "Drain", Who: "the daemon, before its end", On: "this node"}
	e.Result, e.Reason = result(err)
	d.audit.write(e)
	if err != nil {
		return fmt.Errorf("empty this node: %w", err)
	}
	return nil
}
