package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"popcorn/internal/sys"
)

const (
	// maxCalls is how many calls of one job may be under way at once.
	maxCalls = 128
	// closeGrace is how long Close lets calls under way still answer: a
	// waiter should learn the exit code of the job that is just ending.
	closeGrace = 250 * time.Millisecond
)

// Server answers calls for one job until Close.
type Server struct {
	entry   Entry
	backend Backend
	ln      *net.UnixListener
	ctx     context.Context // of every call; ends at the end of Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup // the acceptor and every connection

	mu      sync.Mutex
	closing bool
	conns   map[*net.UnixConn]bool // true while its call is under way
}

// Serve opens the control socket of the job e and answers calls with b until
// Close, or until ctx ends, which ends the calls but leaves Close to be done.
func Serve(ctx context.Context, e Entry, b Backend) (*Server, error) {
	if _, err := makeDir(); err != nil {
		return nil, err
	}
	if e.Started.IsZero() {
		e.Started = time.Now()
	}
	ln, err := listen(e)
	if err != nil {
		return nil, err
	}
	s := &Server{entry: e, backend: b, ln: ln, conns: map[*net.UnixConn]bool{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// listen binds under a hidden name and shows the socket when it is complete:
// between bind and listen a connection is refused as if the server were dead.
func listen(e Entry) (*net.UnixListener, error) {
	tmp := hidden(e.socket())
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	err = os.Chmod(tmp, 0o666) // who gets here is asked who he is, and refused in words
	if err == nil {
		err = e.write()
	}
	if err == nil {
		err = os.Rename(tmp, e.socket())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open control socket: %w", err), ln.Close(), Remove(e.ID))
	}
	return ln, nil
}

// Close stops answering, lets calls under way finish for a moment, ends them,
// waits until no goroutine is left and removes the job's files.
func (s *Server) Close() error {
	err := Remove(s.entry.ID)
	s.mu.Lock()
	s.closing = true
	for c, busy := range s.conns {
		if !busy {
			c.Close()
		}
	}
	s.mu.Unlock()
	err = errors.Join(err, s.ln.Close())

	grace := time.AfterFunc(closeGrace, s.cancel)
	s.wg.Wait()
	grace.Stop()
	s.cancel()
	return err
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		c, err := s.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: the next caller may fare better
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		s.start(c)
	}
}

// start takes a connection in and answers it in a goroutine of its own.
func (s *Server) start(c *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= maxCalls {
		c.Close()
		return
	}
	s.conns[c] = false
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.answer(c)
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.Close()
	}()
}

// answer reads one request and writes one reply.
func (s *Server) answer(c *net.UnixConn) {
	result, err := s.read(c)
	rep := reply{V: protocolVersion}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return // only looked whether we live
	case err != nil:
		rep.Error = toRemote(err)
	default:
		rep.Result = result
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return
	}
	writeLine(c, rep) // a caller that has left misses nothing
}

// read checks who calls, reads the request and has it done.
func (s *Server) read(c *net.UnixConn) (json.RawMessage, error) {
	if err := s.allowed(c); err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	var req request
	if err := readLine(c, maxRequest, &req); err != nil {
		return nil, err
	}
	if req.V != protocolVersion {
		return nil, fmt.Errorf("request has version %d, this job speaks %d: %w", req.V, protocolVersion, ErrVersion)
	}
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	return s.call(c, req)
}

// call runs one operation until it is done, its time is over, or the caller
// has hung up.
func (s *Server) call(c *net.UnixConn, req request) (json.RawMessage, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if req.Op != opWait || req.TimeoutMS > 0 {
		ctx, cancel = context.WithTimeout(ctx, serverTimeout(req))
		defer cancel()
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		io.Copy(io.Discard, c) // ends at the caller's end or at our deadline below
		cancel()
	}()
	result, err := s.dispatch(ctx, req)
	c.SetReadDeadline(time.Unix(1, 0)) // ends the goroutine
	<-hungUp
	if err != nil {
		return nil, err
	}
	if result == nil {
		return nil, nil
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return text, nil
}

func serverTimeout(req request) time.Duration {
	if req.TimeoutMS > 0 {
		return time.Duration(req.TimeoutMS) * time.Millisecond
	}
	return defaultTimeout
}

func (s *Server) dispatch(ctx context.Context, req request) (any, error) {
	b := s.backend
	switch req.Op {
	case opHello:
		return nil, nil
	case opInfo:
		return b.Info(ctx)
	case opMigrate:
		return nil, b.Migrate(ctx, req.TIDs, req.Node, req.Wait)
	case opKill:
		return nil, b.Kill(ctx, req.Sig)
	case opDetach:
		return nil, b.Detach(ctx)
	case opPause:
		return nil, b.Pause(ctx)
	case opResume:
		return nil, b.Resume(ctx)
	case opInspect:
		return b.Inspect(ctx)
	case opWait:
		return b.Wait(ctx)
	case opCheckpoint:
		if req.Checkpoint == nil {
			return nil, fmt.Errorf("checkpoint without its particulars: %w", ErrMalformed)
		}
		return b.Checkpoint(ctx, *req.Checkpoint)
	}
	return nil, fmt.Errorf("%q: this job's supervisor knows no such operation: %w", req.Op, ErrUnknownOp)
}

// allowed lets in the job's own user and root. Most others do not get here: the
// folder is closed. Root's they can pass, and are written down.
func (s *Server) allowed(c *net.UnixConn) error {
	cred, err := sys.PeerCred(c)
	if err != nil {
		return fmt.Errorf("ask who calls: %w", err)
	}
	if uid := int(cred.UID); uid != 0 && uid != os.Geteuid() {
		refuse(s.entry.ID, cred)
		return fmt.Errorf("user %d may not control a job of user %d: %w", uid, os.Geteuid(), ErrRefused)
	}
	return nil
}
