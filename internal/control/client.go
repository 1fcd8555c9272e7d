package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"popcorn/internal/sys"
)

// Client calls one job. It holds no connection between calls, so calls may
// run side by side and there is nothing to close.
type Client struct {
	entry Entry
}

// Dial checks that the job e answers and speaks our protocol.
func Dial(e Entry) (*Client, error) {
	c := &Client{entry: e}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	if err := c.call(ctx, request{Op: opHello}, nil); err != nil {
		return nil, err
	}
	return c, nil
}

func dialSocket(e Entry) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: e.socket(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("call job %s: %w", e.ID, denied(err))
	}
	return conn, nil
}

// Entry is the job this client calls.
func (c *Client) Entry() Entry { return c.entry }

// Info asks the job about itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	err := c.call(ctx, request{Op: opInfo}, &info)
	return info, err
}

// Migrate moves threads; see Backend.
func (c *Client) Migrate(ctx context.Context, tids []int, node int, wait bool) error {
	return c.call(ctx, request{Op: opMigrate, TIDs: tids, Node: node, Wait: wait}, nil)
}

// Kill signals the whole job.
func (c *Client) Kill(ctx context.Context, sig int) error {
	return c.call(ctx, request{Op: opKill, Sig: sig}, nil)
}

// Pause stops every thread of the job.
func (c *Client) Pause(ctx context.Context) error {
	return c.call(ctx, request{Op: opPause}, nil)
}

// Resume lets a paused job go on.
func (c *Client) Resume(ctx context.Context) error {
	return c.call(ctx, request{Op: opResume}, nil)
}

// Inspect returns everything the job tells.
func (c *Client) Inspect(ctx context.Context) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.call(ctx, request{Op: opInspect}, &raw)
	return raw, err
}

// Detach has a program that was attached to brought home and let go.
func (c *Client) Detach(ctx context.Context) error {
	return c.call(ctx, request{Op: opDetach}, nil)
}

// Wait returns the program's exit code when it has ended.
func (c *Client) Wait(ctx context.Context) (int, error) {
	var code int
	err := c.call(ctx, request{Op: opWait}, &code)
	return code, err
}

// Checkpoint saves the job to a file; see Backend.
func (c *Client) Checkpoint(ctx context.Context, r Checkpoint) (Checkpointed, error) {
	var done Checkpointed
	err := c.call(ctx, request{Op: opCheckpoint, Checkpoint: &r}, &done)
	return done, err
}

// call makes one connection, sends req and decodes the answer into result.
func (c *Client) call(ctx context.Context, req request, result any) error {
	conn, err := dialSocket(c.entry)
	if err != nil {
		return goneIfAbsent(err)
	}
	defer conn.Close()
	// Closing is what the server notices when the caller gives up.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	req.V = protocolVersion
	if end, ok := ctx.Deadline(); ok {
		req.TimeoutMS = max(1, time.Until(end).Milliseconds())
	}
	rep, err := exchange(conn, req)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, sys.ECONNRESET), errors.Is(err, sys.EPIPE):
		return fmt.Errorf("%s job %s, which ended meanwhile: %w", req.Op, c.entry.ID, ErrNoSuchJob)
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s job %s: no answer, its supervisor is stopped or stuck (kill -9 %d ends the program): %w",
			req.Op, c.entry.ID, c.entry.PID, ctx.Err())
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("%s job %s: %w", req.Op, c.entry.ID, ctx.Err())
	case err != nil:
		return fmt.Errorf("%s job %s: %w", req.Op, c.entry.ID, err)
	case rep.Error != nil:
		return rep.Error
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(rep.Result, result); err != nil {
		return fmt.Errorf("%s job %s: decode answer: %w", req.Op, c.entry.ID, err)
	}
	return nil
}

// exchange sends one request and reads one reply. A call without a timeout of
// its own still ends: the server answers within its default.
func exchange(conn *net.UnixConn, req request) (reply, error) {
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return reply{}, err
	}
	if req.Op != opWait {
		end := serverTimeout(req) + writeTimeout
		if err := conn.SetReadDeadline(time.Now().Add(end)); err != nil {
			return reply{}, err
		}
	}
	if err := writeLine(conn, req); err != nil && !errors.Is(err, sys.EPIPE) {
		return reply{}, err // but who refuses us may have said so and hung up before
	}
	var rep reply
	if err := readLine(conn, maxReply, &rep); err != nil {
		return reply{}, err
	}
	if rep.V != protocolVersion {
		return reply{}, fmt.Errorf("answer has version %d, not %d: %w", rep.V, protocolVersion, ErrVersion)
	}
	return rep, nil
}

// goneIfAbsent names the ordinary reason for which nobody answers.
func goneIfAbsent(err error) error {
	if errors.Is(err, sys.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return errors.Join(ErrNoSuchJob, err)
	}
	return err
}
