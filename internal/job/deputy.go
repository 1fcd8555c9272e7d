package job

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// deputyFile is the descriptor that a deputy reads its configuration from.
const deputyFile = 3

// Deputy is the body of the internal verb "popcorn deputy": it stands for popcorn
// run on another host, starts the supervisor there, passes on what the two say to
// each other, and keeps what must outlive the supervisor. It ends with either of
// them, the guest before it. SIGTERM has the program moved away from this host,
// which ends it too; a second one ends it at once. It returns the exit code.
func Deputy() int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, sys.SIGTERM) // before anything else: it must not be what ends the job
	cfg, err := readDeputyConfig()
	if err == nil {
		err = deputize(cfg, stop)
	} else {
		err = fmt.Errorf("%w; \"popcorn node serve\" starts deputies, people do not", err)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "popcorn deputy: %v\n", err)
		return exitOwn
	}
	return 0
}

func readDeputyConfig() (c deputyConfig, err error) {
	f := os.NewFile(deputyFile, "config")
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("decode configuration: %w", err)
	}
	return c, nil
}

func deputize(c deputyConfig, stop <-chan os.Signal) error {
	t, err := callRun(c)
	if err != nil {
		return fmt.Errorf("call popcorn run at %s: %w", c.Control, err)
	}
	orders, quit := make(chan fromRun), make(chan struct{})
	if err := t.start(func(_ coherence.NodeID, text []byte, err error) {
		select {
		case orders <- order(text, err):
		case <-quit:
		}
	}); err != nil {
		return err
	}
	defer t.close()
	defer close(quit)
	if err := sys.CloseRange(3, 1<<32-1, true); err != nil {
		return fmt.Errorf("mark descriptors: %w", err)
	}
	c.Node.RunPID, c.Node.Pgid = os.Getpid(), -1
	s, err := spawn(c.Node)
	if err != nil {
		t.say(0, fromSupervisor{Error: fmt.Sprintf("node %d: start supervisor: %v", c.Node.Node, err)})
		return err
	}
	l := newLauncher(Spec{Nodes: 1, Attach: c.Node.Spec.Attach})
	l.nodes[0] = &child{post: s, nid: c.Node.Node}
	defer l.close()
	l.listenTo(l.nodes[0])
	l.relay(t, orders, stop)
	return nil
}

// callRun connects to popcorn run, and again when that breaks.
func callRun(c deputyConfig) (*talk, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deputyPatience)
	defer cancel()
	me := hello(&c.Node)
	me.Lane = deputyLane
	conn, _, err := wire.Dial(ctx, c.Control, me)
	if err != nil {
		return nil, err
	}
	t, err := newTalk(me)
	if err != nil {
		return nil, err
	}
	t.peers[coherence.Home], t.addrs[coherence.Home] = conn, c.Control
	t.dials = func(coherence.NodeID) bool { return true }
	return t, nil
}

// order is what run said; that nothing will come any more is one too.
func order(text []byte, err error) (m fromRun) {
	if err != nil || decodeWord(text, &m) != nil {
		return fromRun{Quit: true, Lost: true}
	}
	return m
}

// relay passes words on until run is gone, says it is over, or the supervisor ends.
func (l *launcher) relay(t *talk, orders <-chan fromRun, stop <-chan os.Signal) {
	asked := false
	var late <-chan time.Time
	for {
		select {
		case m := <-orders:
			switch {
			case m.Lost && l.spec.Attach != 0: // home lets the program go, which ends the supervisor here
				late = time.After(letGoPatience)
			case m.Quit:
				return
			default:
				l.nodes[0].send(m)
			}
		case <-late:
			return
		case p := <-l.packets:
			if !l.passOn(t, p) {
				return
			}
		case <-stop:
			if asked { // this host cannot wait
				return
			}
			asked = true
			t.say(0, fromSupervisor{Drain: true})
		}
	}
}

// passOn tells run what the supervisor says; false when that has ended.
func (l *launcher) passOn(t *talk, p packet) bool {
	p.from.keep(p)
	if p.err == nil {
		p.from.left = p.from.left || p.msg.Left
		t.say(0, p.msg)
		return true
	}
	if !p.from.left {
		t.say(0, fromSupervisor{Error: p.from.died(p.err).Error() + "; the program was ended"})
	}
	return false
}
