package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// event is a line of the audit log: who did what, when, with what result.
type event struct {
	Time   time.Time `json:"time"`
	What   string    `json:"what"`
	Who    string    `json:"who"`
	From   string    `json:"from,omitempty"` // address
	On     string    `json:"on,omitempty"`   // node or user
	Result string    `json:"result"`         // ok, refused, failed
	Reason string    `json:"reason,omitempty"`
}

// strangersAMinute is how many refused handshakes are written in a minute:
// nobody without a certificate may fill the disk.
const strangersAMinute = 60

// audit is the log of what was asked of the daemon. It only ever grows.
type audit struct {
	log   *slog.Logger
	meter *meter

	mu        sync.Mutex
	file      *os.File
	minute    time.Time
	strangers int
}

func openAudit(dir trust.Dir, meter *meter, log *slog.Logger) (*audit, error) {
	f, err := os.OpenFile(dir.Path(auditFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return &audit{log: log, meter: meter, file: f}, nil
}

func (a *audit) close() error { return a.file.Close() }

// write appends one event. What cannot be written is in the daemon's own log.
func (a *audit) write(e event) {
	e.Time = time.Now().UTC()
	text, err := json.Marshal(e)
	if err == nil {
		a.mu.Lock()
		_, err = a.file.Write(append(text, '\n'))
		a.mu.Unlock()
	}
	if err != nil {
		a.log.Error("audit log not written", "err", err, "event", string(text))
	}
}

// result names how something ended.
func result(err error) (result, reason string) {
	switch {
	case err == nil:
		return "ok", ""
	case errors.Is(err, ErrRefused), errors.Is(err, ErrVersion), errors.Is(err, ErrMalformed):
		return "refused", err.Error()
	}
	return "failed", err.Error()
}

// done writes what became of a request.
func (a *audit) done(ctx context.Context, what, on string, err error) {
	w := asks(ctx)
	e := event{What: what, Who: w.String(), From: w.addr, On: on}
	e.Result, e.Reason = result(err)
	a.write(e)
}

// Write makes the audit the place where package http complains of handshakes
// that failed.
func (a *audit) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	rest, ok := strings.CutPrefix(text, "http: TLS handshake error from ")
	if !ok {
		a.log.Warn(text)
		return len(line), nil
	}
	from, reason, _ := strings.Cut(rest, ": ")
	if reason != "EOF" && a.roomForStranger() { // EOF: only looked whether we live
		a.write(event{What: "handshake", Who: "a stranger", From: from, Result: "refused", Reason: reason})
	}
	return len(line), nil
}

func (a *audit) roomForStranger() bool {
	a.meter.strangers.Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.minute) > time.Minute {
		a.minute, a.strangers = now, 0
	}
	a.strangers++
	return a.strangers <= strangersAMinute
}

// interceptor refuses what is newer than us, gives errors their codes, and
// writes down whatever changed something or was refused.
func (a *audit) interceptor(meter *meter) connect.Interceptor {
	return connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			what := req.Spec().Procedure[strings.LastIndexByte(req.Spec().Procedure, '/')+1:]
			var reply connect.AnyResponse
			err := checkVersion(req.Any())
			if err == nil {
				reply, err = next(ctx, req)
			}
			meter.call(what, err)
			if res, _ := result(err); res == "refused" || !quiet[what] && !onlyAsks(req.Any()) {
				a.done(ctx, what, objectOf(req.Any()), err)
			}
			return reply, toWire(err)
		}
	})
}

// quiet are the calls that change nothing.
var quiet = map[string]bool{"Self": true, "Members": true, "Announce": true, "Check": true, "CheckHere": true, "Echo": true,
	"DeputyEnd": true, "UserDeputyEnd": true}

// onlyAsks are the calls that change nothing as they were made.
func onlyAsks(req any) bool {
	r, ok := req.(interface{ GetAction() api.DrainAction })
	return ok && r.GetAction() == api.DrainAction_DRAIN_ACTION_UNSPECIFIED
}

func checkVersion(req any) error {
	v, ok := req.(interface{ GetApiVersion() uint32 })
	if !ok || v.GetApiVersion() == 0 {
		return fmt.Errorf("request without a version of the API: %w", ErrMalformed)
	}
	if got := v.GetApiVersion(); got > api.Version {
		return fmt.Errorf("request has version %d of the API, this daemon knows up to %d (update popcorn here): %w", got, api.Version, ErrVersion)
	}
	return nil
}

// objectOf is whom or what a request is about.
func objectOf(req any) string {
	switch r := req.(type) {
	case *api.StartDeputyRequest:
		return "node " + r.GetNode()
	case *api.DeputyEndRequest:
		return "node " + r.GetNode()
	case *api.UserDeputyEndRequest:
		return fmt.Sprintf("uid %d", r.GetUid())
	case *api.LeaveRequest:
		return "node " + cmp.Or(r.GetNode(), "of its own")
	case *api.StartUserDeputyRequest:
		return fmt.Sprintf("uid %d", r.GetUid())
	case *api.DrainRequest:
		return drainObject(r.GetAction(), "node "+cmp.Or(r.GetNode(), "of its own"))
	case *api.DrainHereRequest:
		return drainObject(r.GetAction(), "this node")
	case *api.LabelRequest:
		return "node " + cmp.Or(r.GetNode(), "of its own")
	case *api.CheckRequest:
		return "node " + r.GetNode()
	case *api.JoinRequest:
		return "node " + r.GetSelf().GetName()
	}
	return ""
}

func drainObject(action api.DrainAction, on string) string {
	if action == api.DrainAction_DRAIN_ACTION_UNDO {
		return "undo " + on
	}
	return on
}
