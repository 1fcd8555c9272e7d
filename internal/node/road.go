package node

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// What gossip uses a connection for, as TLS negotiates it (ALPN): packets one way,
// or one exchange. They come in at the port where calls do.
const (
	packetsKind  = "popcorn-packets/1"
	exchangeKind = "popcorn-exchange/1"
)

const (
	// waiting is how many packets may wait for a connection. More are dropped, as
	// a network drops datagrams: what matters is said again.
	waiting = 64
	// linkIdle is how long a connection for packets is kept without any.
	linkIdle = 2 * time.Minute
	// linkStuck is how long it may take until packets are acknowledged.
	linkStuck = 5 * time.Second
	// maxFrame bounds one packet: memberlist adds some bytes to maxPacket.
	maxFrame = 1 << 16
)

// road carries memberlist's traffic over mutual TLS between daemons, under the
// certificates that make them nodes of the cluster: whoever is removed from it is
// off the road, and no second key has to be kept or changed. Nodes are found by
// name, and where their own statements say; what memberlist tells of addresses is
// not used.
type road struct {
	id      *trust.Node
	address func(name string) (string, error)
	log     *slog.Logger

	packets chan *memberlist.Packet
	streams chan net.Conn

	ctx   context.Context // ends with shutdown
	end   context.CancelFunc
	wg    sync.WaitGroup // links
	mu    sync.Mutex
	links map[string]chan []byte
}

func newRoad(id *trust.Node, address func(string) (string, error), log *slog.Logger) *road {
	ctx, end := context.WithCancel(context.Background())
	return &road{id: id, address: address, log: log, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		ctx: ctx, end: end, links: map[string]chan []byte{}}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (r *road) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return net.ParseIP(ip), port, nil
}

// PacketCh implements memberlist.Transport.
func (r *road) PacketCh() <-chan *memberlist.Packet { return r.packets }

// StreamCh implements memberlist.Transport.
func (r *road) StreamCh() <-chan net.Conn { return r.streams }

var errNoName = errors.New("gossip: nodes are called by name")

// WriteTo implements memberlist.Transport.
func (r *road) WriteTo([]byte, string) (time.Time, error) { return time.Time{}, errNoName }

// DialTimeout implements memberlist.Transport.
func (r *road) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNoName }

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (r *road) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(r.ctx, timeout)
	defer cancel()
	c, err := r.dial(ctx, a.Name, exchangeKind)
	if err != nil {
		return nil, err
	}
	return r.closing(c), nil
}

func (r *road) dial(ctx context.Context, name, kind string) (*tls.Conn, error) {
	addr, err := r.address(name)
	if err != nil {
		return nil, err
	}
	cfg := r.id.ClientConfig(name)
	cfg.NextProtos = []string{kind}
	d := tls.Dialer{NetDialer: &net.Dialer{Control: sys.UserTimeout(linkStuck)}, Config: cfg}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("call node %s: %w", name, err)
	}
	t := c.(*tls.Conn)
	if t.ConnectionState().NegotiatedProtocol != kind {
		t.Close()
		return nil, fmt.Errorf("call node %s: its daemon does not gossip", name)
	}
	return t, nil
}

// exchange is a connection that tells when it is closed, which shutdown does too.
type exchange struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
	stop   func() bool
}

func (r *road) closing(c net.Conn) *exchange {
	e := &exchange{Conn: c, closed: make(chan struct{})}
	e.stop = context.AfterFunc(r.ctx, func() { e.shut() })
	return e
}

// Close implements net.Conn.
func (e *exchange) Close() error {
	e.stop()
	return e.shut()
}

func (e *exchange) shut() (err error) {
	e.once.Do(func() {
		err = e.Conn.Close()
		close(e.closed)
	})
	return err
}

// WriteToAddress implements memberlist.NodeAwareTransport. It does not wait.
func (r *road) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return time.Time{}, net.ErrClosed
	}
	queue, fresh := r.queue(a.Name)
	if fresh {
		r.wg.Go(func() { r.link(a.Name, queue) })
	}
	select {
	case queue <- slices.Clone(b):
	default:
	}
	return time.Now(), nil
}

// queue is where packets for a node wait for its connection; whoever gets a fresh
// one has to see to that. It is called with r locked.
func (r *road) queue(name string) (queue chan []byte, fresh bool) {
	queue, ok := r.links[name]
	if !ok {
		queue = make(chan []byte, waiting)
		r.links[name] = queue
	}
	return queue, !ok
}

// unlink drops what waits.
func (r *road) unlink(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, name)
}

// link makes the connection to a node that packets wait for, and carries them until
// there are none for a while or it fails. What then waits is lost.
func (r *road) link(name string, queue <-chan []byte) {
	defer r.unlink(name)
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	defer cancel()
	c, err := r.dial(ctx, name, packetsKind)
	if err == nil {
		err = r.carry(c, queue)
	}
	if err != nil {
		r.log.Debug("packets lost", "node", name, "err", err)
	}
}

// carry takes packets both ways until the connection's end. With a nil queue
// nothing is sent.
func (r *road) carry(c *tls.Conn, queue <-chan []byte) error {
	over := make(chan error, 1)
	go func() { over <- r.collect(c) }()
	err := r.feed(c, queue, over)
	c.Close()
	return errors.Join(err, <-over)
}

// feed sends what is queued. It leaves the end of the other direction in over.
func (r *road) feed(c *tls.Conn, queue <-chan []byte, over chan error) error {
	idle := time.NewTimer(linkIdle)
	defer idle.Stop()
	judge := newJudge(r.id)
	for {
		select {
		case <-r.ctx.Done():
			return nil
		case <-idle.C:
			if queue != nil {
				return nil
			}
		case err := <-over:
			over <- nil
			return err
		case b := <-queue:
			idle.Reset(linkIdle)
			if err := judge.still(c); err != nil {
				return err
			}
			if err := writeFrame(c, b); err != nil {
				return err
			}
		}
	}
}

func writeFrame(c net.Conn, b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(linkStuck)); err != nil {
		return err
	}
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// judge tells of a connection that stays whether its other end is still believed:
// at every change of what is revoked, and every minute.
type judge struct {
	id    *trust.Node
	until time.Time
	of    uint64
}

// newJudge is for a connection whose handshake has just judged.
func newJudge(id *trust.Node) *judge { return &judge{id, time.Now().Add(time.Minute), id.Revision()} }

func (j *judge) still(c *tls.Conn) error {
	now, of := time.Now(), j.id.Revision()
	if of == j.of && now.Before(j.until) {
		return nil
	}
	if _, err := j.id.VerifyClient(c.ConnectionState().PeerCertificates); err != nil {
		return err
	}
	j.of, j.until = of, now.Add(time.Minute)
	return nil
}

// serve takes a connection that came in and returns when it has ended.
func (r *road) serve(c *tls.Conn, kind string) {
	e := r.closing(c)
	defer e.Close()
	if kind == exchangeKind {
		if r.handOver(e) {
			<-e.closed
		}
		return
	}
	name := c.ConnectionState().PeerCertificates[0].Subject.CommonName
	r.mu.Lock()
	queue, fresh := r.queue(name)
	r.mu.Unlock()
	if fresh {
		defer r.unlink(name)
	} else {
		queue = nil // packets for it go another way
	}
	if err := r.carry(c, queue); err != nil && !errors.Is(err, io.EOF) {
		r.log.Debug("no more packets", "node", name, "err", err)
	}
}

// handOver gives memberlist a connection, which it will close.
func (r *road) handOver(c net.Conn) bool {
	select {
	case r.streams <- c:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// collect passes packets on to memberlist.
func (r *road) collect(c *tls.Conn) error {
	judge := newJudge(r.id)
	for {
		if err := c.SetReadDeadline(time.Now().Add(2 * linkIdle)); err != nil {
			return err
		}
		b, err := readFrame(c)
		if err == nil {
			err = judge.still(c)
		}
		if err != nil {
			return err
		}
		select {
		case r.packets <- &memberlist.Packet{Buf: b, From: c.RemoteAddr(), Timestamp: time.Now()}:
		case <-r.ctx.Done():
			return nil
		}
	}
}

func readFrame(c io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxFrame {
		return nil, fmt.Errorf("read packet: %d bytes: %w", n, ErrMalformed)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	return b, err
}

// Shutdown implements memberlist.Transport.
func (r *road) Shutdown() error {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}
