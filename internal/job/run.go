package job

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"popcorn/internal/control"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// Run starts a supervisor for every node, has the program run under them and
// returns its exit code, 128+N when signal N ended it. With an error the code
// is that of popcorn's own failure: 125, or 126 and 127 when the program cannot
// be executed. On other hosts than this one, it has deputies started. It calls
// ready with the job's id when the program runs.
//
// Run also keeps what must outlive a supervisor that is killed: as long as it
// holds the guest's userfaultfd and listener, a guest cut loose waits, instead
// of reading zeros, until it is killed here.
//
// A job that is to survive the loss of a node is run anew from its last checkpoint
// then, without that node.
func Run(ctx context.Context, s Spec, deputies Deputies, ready func(id string)) (int, error) {
	saved := false
	for {
		code, err := runOnce(ctx, s, deputies, ready, &saved)
		lost := (*lostError)(nil)
		if !s.RestoreOnLoss || ctx.Err() != nil || !errors.As(err, &lost) {
			return code, err
		}
		if !saved {
			return code, fmt.Errorf("%w; it had not been saved yet, and cannot be restored", err)
		}
		ready = nil // it has been told
		s = s.without(lost.node)
		s.PutBack = fmt.Sprintf("%v; it goes on from its last checkpoint", err)
	}
}

// runOnce runs a job to its end; saved becomes true with its first checkpoint.
func runOnce(ctx context.Context, s Spec, deputies Deputies, ready func(id string), saved *bool) (int, error) {
	l := newLauncher(s)
	l.deputies, l.ready = deputies, ready
	defer func() { *saved = *saved || l.saved }()
	defer l.close()
	if err := l.start(); err != nil {
		return exitOwn, err
	}
	return l.waitAndInquire(ctx)
}

func newLauncher(s Spec) *launcher {
	return &launcher{spec: s, nodes: make([]*child, s.Nodes), ended: make(chan struct{}), packets: make(chan packet, 64), unheard: make(chan unheard)}
}

// launcher is popcorn run's side of a job, and a deputy's.
type launcher struct {
	spec     Spec
	job      string
	deputies Deputies // nil: there are none
	nodes    []*child // by number; nil until started
	talk     *talk    // with deputies, nil without
	packets  chan packet
	unheard  chan unheard
	ended    chan struct{}
	readers  sync.WaitGroup
	guest    int
	soon     []sys.Signal // came before there was a program to pass them on to
	// asked is how often the origin's supervisor was asked whether it is well, and
	// answered its last answer.
	asked, answered int
	latency         *os.File
	meet            <-chan time.Time // when supervisors must have said where they are; nil once they have
	late            bool             // that has passed once
	saved           bool             // the job's own checkpoint is there
	ready           func(id string)
	letGo           bool // the program that was attached to
}

// child is one supervisor and what it had us keep.
type child struct {
	post
	nid  int
	kept []keep
	addr string
	// left tells that it ended because home was gone or said so.
	left bool
}

// post is the way to a supervisor: to a process that was started here, or to a
// deputy on another host.
type post interface {
	// send tells it something. A dead one shows when it is received from.
	send(m fromRun)
	// receive waits for what it says; an error ends the conversation.
	receive(m *fromSupervisor) (fds []int, err error)
	// end waits for its end until deadline, and then brings it about if it can.
	end(deadline time.Time)
	// hangUp makes receive fail.
	hangUp()
	// died says what its death means, err being how it showed.
	died(err error) error
	// elsewhere tells that it is on another host.
	elsewhere() bool
	// release gives up what is left of it.
	release()
}

// keep is descriptors held until the process of the first, a pidfd, is gone.
type keep struct{ fds []int }

// packet is what a supervisor said; err ends the conversation.
type packet struct {
	from *child
	msg  fromSupervisor
	fds  []int
	err  error
}

func (l *launcher) start() error {
	if l.spec.On > 0 || l.spec.Nodes > 1 && l.spec.Spread {
		if missing := errors.Join(sys.Missing()...); missing != nil {
			return fmt.Errorf("this machine cannot run a program on several nodes (popcorn check tells more):\n%w", missing)
		}
	}
	secret := make([]byte, 32)
	id := make([]byte, 16)
	rand.Read(secret) // never fails: crypto/rand
	rand.Read(id)
	l.job = hex.EncodeToString(id)
	if err := l.idlePoll(); err != nil {
		return err
	}
	if err := writable(l.spec.StatsFile); err != nil {
		return err
	}
	if l.spec.Dir == "" {
		dir, err := os.Getwd()
		if err != nil { // removed, but a program can be started there
			dir = fmt.Sprintf("/proc/%d/cwd", os.Getpid())
		}
		l.spec.Dir = dir
	}
	files, inherited, err := l.files()
	if err != nil {
		return err
	}
	blocked, err := sys.SigMask()
	if err != nil {
		return fmt.Errorf("read blocked signals: %w", err)
	}
	cfg := config{Job: l.job, Secret: secret, RunPID: os.Getpid(), Pgid: sys.Getpgrp(), Ignored: ignoredSignals(), Blocked: blocked,
		Files: files, Spec: l.spec}
	if err := l.startNodes(cfg); err != nil {
		return err
	}
	for _, fd := range inherited {
		sys.Close(fd)
	}
	return nil
}

// files is the descriptors that the program gets, by number, and those of them
// that this process need not keep. A program found running has its own.
func (l *launcher) files() (files, inherited []int, err error) {
	inherited = sys.Inherited()
	// Only the program gets them: who waits for the end of a pipe must not wait
	// for us or for a stub.
	if err := sys.CloseRange(3, 1<<32-1, true); err != nil {
		return nil, nil, fmt.Errorf("mark inherited descriptors: %w", err)
	}
	if l.spec.Attach != 0 {
		return nil, nil, nil
	}
	files = []int{0, 1, 2}
	for _, fd := range inherited {
		for len(files) < fd {
			files = append(files, -1)
		}
		files = append(files, fd)
	}
	return files, inherited, nil
}

// startNodes starts the supervisors, the origin's last: it then knows the others'
// process ids.
func (l *launcher) startNodes(cfg config) error {
	var authority *wire.Authority
	if len(l.spec.Hosts) > 0 || l.spec.Encrypt {
		var err error
		if authority, err = wire.NewAuthority(jobID(l.job)); err != nil {
			return err
		}
	}
	if len(l.spec.Hosts) > 0 {
		if err := l.startDeputies(cfg, authority); err != nil {
			return err
		}
	}
	for nid := l.spec.Nodes - 1; nid >= 0; nid-- {
		pid := 0
		if l.nodes[nid] == nil {
			cfg.Node = nid
			if err := cfg.accredit(authority); err != nil {
				return err
			}
			s, err := spawn(cfg)
			if err != nil {
				return fmt.Errorf("start supervisor of node %d: %w", nid, err)
			}
			l.nodes[nid] = &child{post: s, nid: nid}
			pid = s.pid
		}
		cfg.Supervisors = append([]int{pid}, cfg.Supervisors...)
	}
	for _, c := range l.nodes {
		l.listenTo(c)
	}
	if len(l.nodes) > 1 {
		l.meet = time.After(meshTimeout)
	}
	return nil
}

// listenTo passes on what a supervisor says until close.
func (l *launcher) listenTo(c *child) {
	l.readers.Add(1)
	go l.read(c)
}

// writable tells whether a file that is written at the end can be, before the
// program has done hours of work.
func writable(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open statistics file: %w", err)
	}
	return f.Close()
}

// idlePoll keeps idle processors polling, as the kernel's power management
// quality of service promises (Documentation/power/pm_qos_interface.rst).
func (l *launcher) idlePoll() error {
	if !l.spec.IdlePoll {
		return nil
	}
	f, err := sys.HoldCPULatency()
	if err != nil {
		return err
	}
	l.latency = f
	return nil
}

// read passes on what a supervisor says until it is gone.
func (l *launcher) read(c *child) {
	defer l.readers.Done()
	for {
		var p packet
		p.from = c
		p.fds, p.err = c.receive(&p.msg)
		select {
		case l.packets <- p:
		case <-l.ended:
			c.keep(p) // nobody else is at it: close waits for this goroutine
		}
		if p.err != nil {
			return
		}
	}
}

// keep notes the descriptors that came with a packet.
func (c *child) keep(p packet) {
	if p.msg.Keep && len(p.fds) > 0 {
		c.kept = append(c.kept, keep{p.fds})
	}
}

// waitAndInquire is wait; of a failure it tells what hosts know too.
func (l *launcher) waitAndInquire(ctx context.Context) (int, error) {
	code, err := l.wait(ctx)
	if err != nil && code == exitOwn && ctx.Err() == nil && !errors.Is(err, control.ErrRefused) && !errors.Is(err, control.ErrNoSuchJob) {
		err = l.inquire(err)
	}
	return code, err
}

// wait runs the job to its end.
func (l *launcher) wait(ctx context.Context) (int, error) {
	signals := make(chan os.Signal, 32)
	for _, s := range l.signals() {
		signal.Notify(signals, s)
	}
	defer signal.Stop(signals)
	if err := sys.WatchSenders(l.signals()...); err != nil {
		return exitOwn, err
	}
	for {
		select {
		case sig := <-signals:
			l.forward(sig)
		case u := <-l.unheard:
			if !l.heard(u) {
				return 128 + int(u.sig), fmt.Errorf("the program does not take signal %d; it was ended", u.sig)
			}
		case <-l.meet:
			if !l.late { // this process may just have been stopped itself
				l.late, l.meet = true, time.After(actPatience)
				continue
			}
			return exitOwn, l.unmet()
		case <-ctx.Done():
			return exitOwn, ctx.Err()
		case p := <-l.packets:
			p.from.keep(p)
			if code, err, over := l.handle(p); over {
				return code, err
			}
		}
	}
}

func (l *launcher) handle(p packet) (code int, err error, over bool) {
	if p.err != nil && p.from.left {
		return 0, nil, false // home tells why, or its end does
	}
	m := p.msg
	if p.from.elsewhere() && l.guest != 0 && (p.err != nil || m.Error != "") {
		return 0, nil, false // home notices, and judges what it means
	}
	if p.err != nil {
		err := fmt.Errorf("%w; %s", p.from.died(p.err), l.fate())
		if p.from.nid != 0 {
			err = &lostError{p.from.nid, err}
		}
		return exitOwn, err, true
	}
	switch {
	case m.Well != 0:
		l.answered = m.Well
	case m.Left:
		p.from.left = true
	case m.Drain:
		l.nodes[0].send(fromRun{Drain: p.from.nid})
	case m.Addr != "":
		p.from.addr = m.Addr
		l.introduce()
	case m.PID != 0:
		l.begun(m.PID)
		if l.ready != nil {
			l.ready(l.job[:8])
		}
	case m.Freed:
		p.from.free()
	case m.Detached:
		l.letGo = true
		return 0, nil, true
	case m.Foster != nil:
		l.adoptOut(m.Foster)
	case m.Notice != "":
		notice(m.Notice)
	case m.Saved:
		l.saved = true
	case m.Errno != 0:
		return execCode(sys.Errno(m.Errno)), errors.New(m.Error), true
	case m.Refused:
		return exitOwn, said{m.Error, control.ErrRefused}, true
	case m.Absent:
		return exitOwn, said{m.Error, control.ErrNoSuchJob}, true
	case m.Lost != 0:
		return exitOwn, &lostError{m.Lost, errors.New(m.Error)}, true
	case m.Error != "" && p.from.nid != 0: // what it had of the program is lost with it
		return exitOwn, &lostError{p.from.nid, errors.New(m.Error)}, true
	case m.Error != "":
		return exitOwn, errors.New(m.Error), true
	case m.Ended:
		return m.Code, nil, true
	}
	return 0, nil, false
}

func execCode(e sys.Errno) int {
	if e == sys.ENOENT {
		return 127
	}
	return 126
}

// introduce tells all supervisors each other's addresses, once all are known.
func (l *launcher) introduce() {
	var peers []string
	for _, c := range l.nodes {
		if c.addr == "" {
			return
		}
		peers = append(peers, c.addr)
	}
	l.meet = nil
	for _, c := range l.nodes {
		c.send(fromRun{Peers: peers})
	}
}

// unmet is why supervisors have not been introduced in time: until then nobody
// judges by silence that a host is lost.
func (l *launcher) unmet() error {
	for nid, c := range l.nodes {
		if c.addr != "" {
			continue
		}
		err := fmt.Errorf("%s is lost: no word from its supervisor for %v; the program was not started", l.spec.nodeTitle(nid), meshTimeout)
		if nid != 0 {
			err = &lostError{nid, err}
		}
		return err
	}
	return nil // does not happen: with the last address they are introduced
}

// endPatience is how long a supervisor may take to end its guest and itself, and
// how long guests may take to be gone then.
const endPatience = 2500 * time.Millisecond

// close ends all supervisors and then every guest that is still there.
func (l *launcher) close() {
	close(l.ended)
	for _, c := range l.started() {
		c.send(fromRun{Quit: true})
	}
	deadline := time.Now().Add(endPatience)
	for _, c := range l.started() {
		c.end(deadline)
	}
	for _, c := range l.started() {
		c.hangUp()
	}
	l.readers.Wait()
	if l.talk != nil {
		l.talk.close()
	}
	l.drain()
	l.endGuests()
	for _, c := range l.started() {
		c.release()
	}
	if len(l.job) > 8 {
		control.Remove(l.job[:8])
	}
	if l.latency != nil {
		l.latency.Close()
	}
}

// started is the nodes there are.
func (l *launcher) started() []*child {
	return slices.DeleteFunc(slices.Clone(l.nodes), func(c *child) bool { return c == nil })
}

// endGuests kills what is left of the guests and gives up what was kept for
// them once they are gone.
func (l *launcher) endGuests() {
	var all []keep
	for _, c := range l.started() {
		all = append(all, c.kept...)
	}
	for _, k := range all {
		sys.PidfdSendSignal(k.fds[0], sys.SIGKILL) // ESRCH: gone, as it should be
	}
	deadline := time.Now().Add(endPatience)
	for _, k := range all {
		sys.AwaitPidfd(k.fds[0], time.Until(deadline))
	}
	for _, k := range all {
		for _, fd := range k.fds {
			sys.Close(fd)
		}
	}
}

// drain keeps what supervisors sent last.
func (l *launcher) drain() {
	for {
		select {
		case p := <-l.packets:
			p.from.keep(p)
		default:
			return
		}
	}
}
