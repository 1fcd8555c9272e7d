package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// meshTimeout is how long supervisors take at most to say where they are, and then
// to find each other.
const meshTimeout = 20 * time.Second

// exitOwn is the exit code for failures of ours, as the command line promises.
const exitOwn = 125

// Supervise is the body of the internal verb "popcorn supervise": one
// supervisor process of one job at one node. It returns the exit code.
func Supervise(args []string) int {
	if len(args) == 1 && args[0] == "heir" {
		return heir()
	}
	// The loop makes all ptrace requests, which the kernel ties to a thread.
	runtime.LockOSThread()
	if runtime.GOMAXPROCS(0) < 4 {
		runtime.GOMAXPROCS(4) // two locked threads, and the rest must not wait for them
	}
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "popcorn: supervise is internal: use popcorn run")
		return 2
	}
	run, err1 := strconv.Atoi(args[0])
	file, err2 := strconv.Atoi(args[1])
	crash, err3 := strconv.Atoi(args[2])
	if err1 != nil || err2 != nil || err3 != nil {
		return 2
	}
	// Standard error is the program's; what a bug here prints goes to run.
	out := os.NewFile(uintptr(crash), "crash")
	debug.SetCrashOutput(out, debug.CrashOptions{})
	out.Close()                                       // it has been duplicated
	if err := sys.SetCloexec(run, true); err != nil { // no program shall get it
		return 2
	}
	s := &supervisor{run: run}
	s.guest.Store(-1)
	if err := s.main(file); err != nil {
		m := fromSupervisor{Error: err.Error(), Refused: errors.Is(err, control.ErrRefused), Absent: errors.Is(err, control.ErrNoSuchJob)}
		if lost := (*lostError)(nil); errors.As(err, &lost) {
			m.Lost = lost.node
		}
		s.report(m)
		return exitOwn
	}
	return 0
}

// supervisor is what the origin's and a remote's have in common.
type supervisor struct {
	cfg    config
	run    int // socket to popcorn run
	self   coherence.NodeID
	loop   *loop
	tracer *guest.Tracer
	*links
	pager  *pager.Pager
	epoch  uint16 // of the program's memory; frames of an earlier one are void
	log    io.Writer
	role   role
	failed error
	guest  atomic.Int32 // pidfd of the process to kill when run is gone, or -1
	// freed are supervisors' own resources to give back at the end.
	atEnd []func()
}

// role is what tells the origin from a remote.
type role interface {
	// start begins the work, once all nodes are connected.
	start() error
	// traced handles a change of a traced thread.
	traced(e guest.Event)
	// frame handles a frame that is not the pager's.
	frame(from coherence.NodeID, h wire.Header, payload []byte) error
	// peerLost tells that node n is gone.
	peerLost(n coherence.NodeID, err error)
	// finish ends the guest; the loop has ended. With an error some of it is
	// left, for the end of this process to end (PTRACE_O_EXITKILL).
	finish() error
	// settle runs after every turn of the loop.
	settle()
}

// notOurs are signals that a supervisor does not end or stop by. It starts with them
// held: before it has a process group of its own, a terminal's reach it.
var notOurs = []sys.Signal{sys.SIGINT, sys.SIGQUIT, sys.SIGHUP, sys.SIGTERM, sys.SIGTSTP, sys.SIGTTIN, sys.SIGTTOU}

func (s *supervisor) main(file int) error {
	if err := s.configure(file); err != nil {
		return err
	}
	if err := s.watchRun(); err != nil {
		return err
	}
	// Signals to the job reach the program; the supervisor ends with the job.
	signal.Ignore(sys.SIGPIPE)
	for _, sig := range notOurs {
		signal.Notify(make(chan os.Signal, 1), sig)
	}
	if err := sys.TakeSigMask(s.cfg.Blocked); err != nil { // the program gets this thread's
		return fmt.Errorf("set blocked signals: %w", err)
	}
	if err := s.connect(); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	err := explain(s.role.start())
	if err == nil {
		err = s.loop.run()
	}
	if left := s.role.finish(); left != nil {
		return errors.Join(err, s.failed, left)
	}
	for _, f := range s.atEnd {
		f()
	}
	return errors.Join(err, s.failed)
}

// explain adds to a refusal of the kernel what the machine lacks.
func explain(err error) error {
	if errors.Is(err, sys.EPERM) || errors.Is(err, sys.EACCES) || errors.Is(err, sys.ENOSYS) {
		return errors.Join(append([]error{err}, sys.Missing()...)...)
	}
	return err
}

func (s *supervisor) configure(file int) error {
	f := os.NewFile(uintptr(file), "config")
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(b, &s.cfg); err != nil {
		return fmt.Errorf("decode configuration: %w", err)
	}
	s.self = coherence.NodeID(s.cfg.Node)
	s.log = io.Discard
	if s.cfg.Spec.LogFile != "" {
		log, err := os.OpenFile(s.cfg.Spec.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("open log file: %w", err)
		}
		s.log = log
		s.atEnd = append(s.atEnd, func() { log.Close() })
	}
	return nil
}

// watchRun sees to it that nothing outlives popcorn run. The loop notices its
// end too, unless it is waiting for a thread: killing the guest ends every such
// wait. The goroutine lives as long as the process, which it may end.
func (s *supervisor) watchRun() error {
	fd, err := sys.PidfdOpen(s.cfg.RunPID, 0)
	if err != nil {
		return fmt.Errorf("open pidfd of popcorn run: %w", err)
	}
	if sys.Getppid() != s.cfg.RunPID {
		return errors.New("popcorn run is gone")
	}
	go func() {
		const ever = 1000 * time.Hour
		for !sys.AwaitPidfd(fd, ever) {
		}
		if s.outlives() {
			time.Sleep(letGoPatience) // see outliveRun
		}
		if guest := s.guest.Load(); guest >= 0 {
			sys.PidfdSendSignal(int(guest), sys.SIGKILL) // ESRCH: gone already
		}
		time.Sleep(endPatience)
		if s.cfg.Node == 0 {
			control.Remove(s.cfg.Job[:8]) // there may be none; who would complain has ended
		}
		os.Exit(exitOwn)
	}()
	return nil
}

// letGoPatience is how long a program may take to come home when popcorn attach is
// gone, before it is ended.
const letGoPatience = 30 * time.Second

// logf writes a line of the supervisor's log.
func (s *supervisor) logf(format string, a ...any) {
	if s.log == io.Discard {
		return
	}
	fmt.Fprintf(s.log, "%.6f node %d: %s\n", sys.Monotonic().Seconds(), s.self, fmt.Sprintf(format, a...))
}

// report tells run something; that run is gone shows elsewhere.
func (s *supervisor) report(m fromSupervisor, fds ...int) { sendPacket(s.run, m, fds...) }

// connect joins this node with all others: it dials the lower numbers and is
// dialled by the higher ones, and again when connections break.
func (s *supervisor) connect() error {
	s.links = newLinks(hello(&s.cfg))
	s.dials = func(n coherence.NodeID) bool { return n < s.self }
	if s.cfg.Spec.Nodes == 1 {
		return nil
	}
	l, err := wire.Listen(s.cfg.Spec.listenAt(s.cfg.Node))
	if err != nil {
		return err
	}
	s.report(fromSupervisor{Addr: l.Addr()})
	// Run gives the others as long to say where they are; it may be lost itself.
	if !sys.AwaitReadable(s.run, meshTimeout+endPatience) {
		return fmt.Errorf("learn peers: nothing heard of them for %v", meshTimeout+endPatience)
	}
	var m fromRun
	if _, err := recvPacket(s.run, &m); err != nil {
		return fmt.Errorf("learn peers: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), meshTimeout)
	defer cancel()
	for n, addr := range m.Peers {
		s.addrs[coherence.NodeID(n)] = addr
	}
	for n := range s.self {
		if err := s.dialPeer(ctx, n); err != nil {
			return err
		}
	}
	if err := s.acceptPeers(ctx, l); err != nil {
		return err
	}
	if s.me.Credentials == nil { // no connection is made twice
		return l.Close()
	}
	s.listener = l
	return nil
}

// listenAt is where the supervisor of a node listens to those of others.
func (s *Spec) listenAt(node int) string {
	switch {
	case len(s.Hosts) > 0:
		return net.JoinHostPort(s.Hosts[node].IP, "0")
	case s.Encrypt || s.TCP:
		return "127.0.0.1:0"
	}
	return wire.Unix
}

// dialPeer connects to node n, whatever the network does meanwhile.
func (s *supervisor) dialPeer(ctx context.Context, n coherence.NodeID) error {
	for {
		conn, _, err := wire.Dial(ctx, s.addrs[n], s.me)
		if err == nil {
			s.peers[n] = conn
			return nil
		}
		if ctx.Err() != nil || errors.As(err, new(*wire.HandshakeError)) || errors.Is(err, sys.ECONNREFUSED) {
			return &lostError{int(n), fmt.Errorf("connect to %s (%s): %w", s.cfg.Spec.nodeTitle(int(n)), s.addrs[n], err)}
		}
		s.pauseFor(lastPause / 4)
	}
}

// acceptPeers waits for the connections of the higher numbers. Who comes twice has
// lost its first one before it knew that it was made.
func (s *supervisor) acceptPeers(ctx context.Context, l *wire.Listener) error {
	for len(s.peers) < s.cfg.Spec.Nodes-1 {
		conn, hello, err := l.Accept(ctx, s.me)
		if err != nil && (ctx.Err() != nil || errors.Is(err, net.ErrClosed)) {
			return s.absent(&s.cfg.Spec, err)
		}
		if err != nil {
			stranger(s.me, err)
			continue
		}
		if old := s.peers[coherence.NodeID(hello.Node)]; old != nil {
			old.Close()
		}
		s.peers[coherence.NodeID(hello.Node)] = conn
	}
	return nil
}

// prepare makes the loop and puts everything under its eyes.
func (s *supervisor) prepare() (err error) {
	if s.loop, err = newLoop(); err != nil {
		return err
	}
	if s.tracer, err = guest.NewTracer(); err != nil {
		return err
	}
	s.atEnd = append(s.atEnd, s.loop.close, s.tracer.Close)
	s.loop.each = s.settle
	s.loop.before = s.settleMemory
	s.loop.deadline = func() (time.Duration, bool) {
		if s.pager == nil {
			return 0, false
		}
		return s.pager.Deadline()
	}
	s.loop.expired = func() { s.pager.Tick() }
	s.loop.signalled = func() { s.collect(s.tracer.Signalled) }
	if err := s.loop.add(s.tracer.FD(), func(uint32) { s.collect(s.tracer.Events) }); err != nil {
		return err
	}
	l := s.links
	l.loop, l.logf, l.patience, l.frame = s.loop, s.logf, s.cfg.Spec.LossTimeout, s.take
	l.gone = func(n coherence.NodeID, why error) { s.role.peerLost(n, why) }
	if err := l.watchAll(); err != nil {
		return err
	}
	if err := s.loop.add(s.run, func(uint32) { s.fromRun() }); err != nil {
		return err
	}
	if len(s.cfg.Spec.Hosts) > 0 {
		s.heard = map[coherence.NodeID]time.Duration{}
		s.keepInTouch(sys.Monotonic())
	}
	if s.self == coherence.Home {
		s.role = newOrigin(s)
	} else {
		s.role = newRemote(s)
	}
	return nil
}

// settleMemory runs before anything is done for an event; see Pager.Settle.
func (s *supervisor) settleMemory() {
	if s.pager != nil {
		s.pager.Settle()
	}
}

// settle runs after every turn of the loop.
func (s *supervisor) settle() {
	if s.pager != nil && s.pager.Err() != nil {
		s.fail(s.pager.Err())
	}
	if !s.loop.stopped {
		s.role.settle()
	}
}

// fail ends the job for a reason of ours.
func (s *supervisor) fail(err error) {
	if s.failed == nil {
		s.failed = err
		s.logf("fail: %v", err)
		s.send(coherence.Home, wire.Header{Type: wire.TGone}, []byte(err.Error())) // nothing at home itself
	}
	s.loop.stop()
}

func (s *supervisor) collect(events iter.Seq[guest.Event]) {
	for e := range events {
		s.role.traced(e)
		if s.loop.stopped {
			return
		}
	}
}

func (s *supervisor) fromRun() {
	var m fromRun
	_, err := recvPacket(s.run, &m)
	o, home := s.role.(*origin)
	switch {
	case err != nil && s.outlives():
		s.outliveRun()
		return
	case err != nil || m.Quit:
		if err != nil {
			s.logf("run is gone: %v", err)
		}
		s.loop.stop()
	}
	if home && m.Drain != 0 {
		o.drain(coherence.NodeID(m.Drain))
	}
	if home && m.Detach {
		o.detach(func(error) {}) // run hears of it by itself
	}
	if m.Ask != 0 {
		s.report(fromSupervisor{Well: m.Ask})
	}
}

// outlives tells whether this supervisor goes on for a while without popcorn attach.
// One on another host lives with its deputy, which does.
func (s *supervisor) outlives() bool {
	return s.cfg.Spec.Attach != 0 && (s.cfg.Node == 0 || len(s.cfg.Spec.Hosts) == 0)
}

// outliveRun sees to it that a program that was found running survives popcorn
// attach: it is brought home and let go, which ends the other nodes, too.
func (s *supervisor) outliveRun() {
	s.logf("popcorn attach is gone")
	s.loop.remove(s.run)
	if o, home := s.role.(*origin); home {
		o.detach(func(err error) {
			if err != nil {
				s.fail(err)
			}
		})
	}
}

// take handles a frame.
func (s *supervisor) take(from coherence.NodeID, h wire.Header, payload []byte) error {
	if s.loop.stopped {
		return nil
	}
	s.settleMemory()
	if h.Type != wire.TCoherence {
		return s.role.frame(from, h, payload)
	}
	kind, mode, epoch := wire.UnpackAux(h.Aux)
	if epoch != s.epoch || s.pager == nil {
		return nil
	}
	h.Aux = wire.PackAux(kind, mode, 0)
	return s.pager.Receive(from, h, payload)
}

// send transmits a frame, stamped if it is the pager's.
func (s *supervisor) send(to coherence.NodeID, h wire.Header, payload ...[]byte) {
	if h.Type == wire.TCoherence {
		h.Aux |= uint32(s.epoch) << 16
	}
	s.transmit(to, h, payload...)
}

// homeKnows is what only home can tell coherence; see coherence.Config and pager.Config.
type homeKnows struct {
	untouched func(p page) (run, bool)
	idle      func(coherence.NodeID) bool
	caller    func(tid int) coherence.NodeID
}

// newPager makes the coherence machine and pager of a new program.
func (s *supervisor) newPager(mem pager.Memory, u *sys.UFFD, home homeKnows, unmapped func(page), lost func(run)) error {
	m := coherence.New(coherence.Config{
		Self: s.self, HoldBase: holdBase, HoldMax: holdMax, Untouched: home.untouched, Idle: home.idle,
		Verify: s.cfg.Spec.Verify == "all",
	})
	s.pager = pager.New(pager.Config{Memory: mem, Machine: m, UFFD: u, Send: s.send, Unmapped: unmapped, Lost: lost, Caller: home.caller,
		Clock: sys.Monotonic, Holds: uint64(s.epoch) << 48})
	return s.loop.addEdge(u.FD(), func(uint32) { s.pager.Readable() })
}

// Minimum time a node keeps a page, so that it makes progress with it, and the
// most that contention doubles it to.
const (
	holdBase = 100 * time.Microsecond
	holdMax  = 800 * time.Microsecond
)
