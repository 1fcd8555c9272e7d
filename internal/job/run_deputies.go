package job

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"popcorn/internal/wire"
)

// Host is where a node of a job is.
type Host struct {
	Name string // what people call it
	IP   string // where the other nodes of the job reach it
}

// SendDeputy has "popcorn deputy" started on a host, with config on descriptor 3.
type SendDeputy func(ctx context.Context, host string, config []byte) error

const (
	// deputyLane marks the connection between popcorn run and a deputy.
	deputyLane = 0xffff
	// deputyPatience is how long deputies may take to start and to call.
	deputyPatience = 20 * time.Second
	// wordPatience is how long a word to a deputy may take to leave.
	wordPatience = 2 * time.Second
)

// deputyConfig is what a deputy is told; credentials and secret are the job's.
type deputyConfig struct {
	Control string `json:"control"` // where popcorn run listens
	Node    config `json:"node"`
}

// startDeputies has deputies started on the job's other hosts and waits until all
// have called.
func (l *launcher) startDeputies(cfg config, authority *wire.Authority) error {
	if l.send == nil {
		return errors.New("there is no way to start a program on other hosts")
	}
	ctx, cancel := context.WithTimeout(context.Background(), deputyPatience)
	defer cancel()
	listener, err := wire.Listen(net.JoinHostPort(l.spec.Hosts[0].IP, "0"))
	if err != nil {
		return err
	}
	defer listener.Close()
	for nid := 1; nid < l.spec.Nodes; nid++ {
		if err := l.sendDeputy(ctx, nid, cfg, authority, listener.Addr()); err != nil {
			return fmt.Errorf("start node %d on %s: %w", nid, l.spec.Hosts[nid].Name, err)
		}
	}
	if err := cfg.accredit(authority); err != nil {
		return err
	}
	return l.expectDeputies(ctx, listener, hello(&cfg))
}

func (l *launcher) sendDeputy(ctx context.Context, nid int, cfg config, a *wire.Authority, control string) (err error) {
	cfg.Node = nid
	if err := cfg.accredit(a); err != nil {
		return err
	}
	// What the program is and was given is nobody's business there.
	s := cfg.Spec
	cfg.Spec = Spec{Nodes: s.Nodes, On: s.On, Hosts: s.Hosts, ABI: s.ABI, Verify: s.Verify, LossTimeout: s.LossTimeout, ForeignFrom: s.ForeignFrom}
	cfg.Files, cfg.Ignored = nil, 0
	text, err := json.Marshal(deputyConfig{Control: control, Node: cfg})
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	return l.send(ctx, l.spec.Hosts[nid].Name, text)
}

// accredit gives the node of cfg its credentials, if the job has an authority.
func (cfg *config) accredit(a *wire.Authority) error {
	if a == nil {
		return nil
	}
	cred, err := a.Issue(uint16(cfg.Node))
	cfg.Credentials = &cred
	return err
}

// expectDeputies waits for the calls of all deputies.
func (l *launcher) expectDeputies(ctx context.Context, listener *wire.Listener, me wire.Hello) error {
	for missing := l.spec.Nodes - 1; missing > 0; {
		conn, peer, err := listener.AcceptStream(ctx, me)
		var refused *wire.HandshakeError
		if errors.As(err, &refused) {
			continue // whoever that was, it is none of ours
		}
		if err != nil {
			return fmt.Errorf("wait for %s: %w", l.absent(), err)
		}
		nid := int(peer.Node)
		if nid >= l.spec.Nodes || l.nodes[nid] != nil || peer.Lane != deputyLane {
			conn.Close()
			continue
		}
		l.nodes[nid] = &child{post: newRemotePost(nid, l.spec.Hosts[nid].Name, conn), nid: nid}
		missing--
	}
	return nil
}

// absent names a node that has not called.
func (l *launcher) absent() string {
	for nid := 1; nid < l.spec.Nodes; nid++ {
		if l.nodes[nid] == nil {
			return fmt.Sprintf("node %d (%s)", nid, l.spec.Hosts[nid].Name)
		}
	}
	return "nobody"
}

func jobID(id string) (out [16]byte) {
	b, _ := hex.DecodeString(id) // ours
	copy(out[:], b)
	return out
}

// hello is how a process of the job introduces itself as its node.
func hello(cfg *config) wire.Hello {
	return wire.Hello{Job: jobID(cfg.Job), Node: uint16(cfg.Node), Secret: cfg.Secret, Credentials: cfg.Credentials}
}

// remotePost is the way to a supervisor by its deputy: one JSON document a line.
type remotePost struct {
	nid  int
	name string
	conn net.Conn
	in   *bufio.Reader
	gone chan struct{} // closed when receive has failed
}

func newRemotePost(nid int, name string, conn net.Conn) *remotePost {
	return &remotePost{nid: nid, name: name, conn: conn, in: bufio.NewReaderSize(conn, maxPacket), gone: make(chan struct{})}
}

func (p *remotePost) send(m fromRun) { writeWord(p.conn, m) }

// writeWord tells the other end something; that it is gone shows when it is read from.
func writeWord(c net.Conn, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		return // nothing we say is like that
	}
	c.SetWriteDeadline(time.Now().Add(wordPatience))
	c.Write(append(text, '\n'))
}

func readWord(in *bufio.Reader, v any) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("decode word: %w", err)
	}
	return nil
}

func (p *remotePost) receive(m *fromSupervisor) ([]int, error) {
	err := readWord(p.in, m)
	m.Keep = false // what is kept is kept there
	if err != nil {
		close(p.gone)
	}
	return nil, err
}

// end waits until the deputy has hung up, its part of the job ended: it has the
// same patience with its supervisor and its guest as we have with ours.
func (p *remotePost) end(deadline time.Time) {
	t := time.NewTimer(time.Until(deadline.Add(endPatience)))
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
	}
}

func (p *remotePost) elsewhere() bool { return true }

func (p *remotePost) hangUp() { p.conn.Close() }

func (p *remotePost) release() { p.conn.Close() }

func (p *remotePost) died(how error) error {
	if errors.Is(how, io.EOF) {
		how = errors.New("its deputy has hung up")
	}
	return fmt.Errorf("node %d (%s) is lost: %w", p.nid, p.name, how)
}
