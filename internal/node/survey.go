package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"popcorn/internal/guest"
	"popcorn/internal/node/api"
)

// Survey is what a check of a node found.
type Survey struct {
	Node     string    `json:"node"`
	Version  string    `json:"popcorn"`     // of popcorn there
	API      int       `json:"api_version"` // of its API
	Arch     string    `json:"arch"`
	Findings []Finding `json:"findings"`
	Link     *Link     `json:"link,omitempty"` // nil for this host
}

// Link is the way between two daemons: one connection, encrypted.
type Link struct {
	RoundTrip  time.Duration `json:"round_trip_ns"`  // the least of some
	ClockAhead time.Duration `json:"clock_ahead_ns"` // of the other host
	ClockError time.Duration `json:"clock_error_ns"` // by how much that may be wrong
	Sent       float64       `json:"sent_bytes_per_second"`
	Received   float64       `json:"received_bytes_per_second"`
}

// Missing is how many things are missing without which nothing can run there.
func (s Survey) Missing() int {
	n := 0
	for _, f := range s.Findings {
		if f.Required && !f.OK {
			n++
		}
	}
	return n
}

// maxSkew is how far clocks may differ before it is called a fault: certificates
// bear an hour, people and make(1) less.
const maxSkew = 10 * time.Second

// Check surveys a node of the cluster for programs of the calling user.
// ErrNoSuchNode and ErrUnreachable are told apart.
func (c *Client) Check(ctx context.Context, name string) (Survey, error) {
	r, err := c.calls.Check(ctx, &api.CheckRequest{ApiVersion: api.Version, Node: name})
	if err != nil {
		return Survey{}, fromWire(err, c.lost)
	}
	s := Survey{Node: name, Version: r.There.GetVersion(), API: int(r.There.GetApiVersion()), Arch: r.There.GetArch()}
	s.Findings = judgeNode(name, r)
	for _, f := range r.There.GetFindings() {
		s.Findings = append(s.Findings, Finding{f.Name, f.Ok, f.Required, f.Since, f.Need, f.Problem})
	}
	if r.RoundTrip > 0 {
		s.Link = &Link{time.Duration(r.RoundTrip), time.Duration(r.ClockAhead), time.Duration(r.ClockError), float64(r.SentRate), float64(r.ReceivedRate)}
	}
	return s, nil
}

// judgeNode are the findings on what concerns both hosts.
func judgeNode(name string, r *api.CheckResponse) []Finding {
	there, here := r.There, r.Here
	return []Finding{
		finding("lets this user in", true, "a deputy of the user is started there", there.GetRefuses()),
		finding("architecture", true, "a program runs on one instruction set", differ(there.GetArch() != here.GetArch(),
			"it is %s, this host %s: take nodes of one", there.GetArch(), here.GetArch())),
		finding("processor", true, "a program started here must run there", text(cpuFromWire(here.GetCpu()).RunsOn(cpuFromWire(there.GetCpu())))),
		finding("more of the processor", false, "programs started there do not run here", extra(there.GetCpu(), here.GetCpu())),
		finding("popcorn version", false, "nothing but one version is tested", differ(there.GetVersion() != here.GetVersion(),
			"it is %s there and %s here: install the same", there.GetVersion(), here.GetVersion())),
		finding("API version", true, "daemons refuse what is newer than they", differ(there.GetApiVersion() < here.GetApiVersion(),
			"it is %d there and %d here: update popcorn at node %s", there.GetApiVersion(), here.GetApiVersion(), name)),
		finding("clock", false, "times of files of two hosts do not compare", skewed(r)),
	}
}

// finding is about something that no Linux version has or lacks.
func finding(name string, required bool, need, problem string) Finding {
	return Finding{Name: name, OK: problem == "", Required: required, Since: "-", Need: need, Problem: problem}
}

func differ(bad bool, format string, a ...any) string {
	if !bad {
		return ""
	}
	return fmt.Sprintf(format, a...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), guest.ErrCPU.Error()+": ")
}

// extra is what the other processor has more than this one.
func extra(there, here *api.Cpu) string {
	more := slices.DeleteFunc(slices.Clone(there.GetFeatures()), func(f string) bool { return slices.Contains(here.GetFeatures(), f) })
	return differ(len(more) > 0, "it has %s, this host has not: programs started there need --cpu-baseline to run here", strings.Join(more, ", "))
}

func skewed(r *api.CheckResponse) string {
	by := time.Duration(r.ClockAhead)
	return differ(by.Abs()-time.Duration(r.ClockError) > maxSkew, "its clock is %v off: run an NTP client on both hosts", by.Round(time.Millisecond))
}

// Check implements the API. One at a time: it fills the link for a moment.
func (l localCalls) Check(ctx context.Context, req *api.CheckRequest) (*api.CheckResponse, error) {
	m, err := findMember(l.d.members.List(), req.Node)
	if err != nil {
		return nil, err
	}
	select {
	case l.d.surveying <- struct{}{}:
		defer func() { <-l.d.surveying }()
	case <-ctx.Done():
		return nil, fmt.Errorf("check node %s: others are being checked: %w", m.Name, ctx.Err())
	}
	cred := asks(ctx).cred
	here, err := l.d.checkup(cred.UID, cred.GID)
	if err != nil || m.Name == l.d.self.Name {
		return &api.CheckResponse{There: here, Here: here}, err
	}
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	return l.d.survey(ctx, m, here, &api.CheckHereRequest{ApiVersion: api.Version, Uid: cred.UID, Gid: cred.GID})
}

func (d *Daemon) survey(ctx context.Context, m Member, here *api.CheckHereResponse, req *api.CheckHereRequest) (*api.CheckResponse, error) {
	c := newCaller(d.id, m.Name, m.Address)
	defer c.close()
	out := &api.CheckResponse{Here: here}
	var err error
	out.There, err = c.peer.CheckHere(ctx, req)
	if err == nil {
		err = c.measure(ctx, out)
	}
	if err = fromWire(err, unreachable(m.Name, m.Address)); errors.Is(err, ErrVersion) {
		return nil, fmt.Errorf("check node %s: its popcorn is older or newer than this one; install the same: %w", m.Name, err)
	} else if err != nil {
		return nil, fmt.Errorf("check node %s: %w", m.Name, err)
	}
	return out, nil
}

const (
	// roundTrips is how many are made; the quickest counts.
	roundTrips = 16
	// burst is for how long the link is filled, each way.
	burst = 500 * time.Millisecond
	// leastEcho is the first of ever greater calls: a slow link takes no more.
	leastEcho = 16 << 10
)

// measure takes the link's round trip, the other's clock and the bandwidth.
func (c *caller) measure(ctx context.Context, out *api.CheckResponse) error {
	for range roundTrips {
		begin := time.Now()
		reply, err := c.peer.Echo(ctx, &api.EchoRequest{ApiVersion: api.Version})
		if err != nil {
			return err
		}
		took := time.Since(begin)
		if trip := took.Nanoseconds(); out.RoundTrip == 0 || trip < out.RoundTrip {
			// The other looked at its clock in between: in the middle, or at most half of it off.
			out.RoundTrip, out.ClockError = trip, trip/2
			out.ClockAhead = reply.Now - begin.Add(took/2).UnixNano()
		}
	}
	var err error
	if out.SentRate, err = c.fill(ctx, true); err != nil {
		return err
	}
	out.ReceivedRate, err = c.fill(ctx, false)
	return err
}

// fill moves bytes one way for a while, in ever greater calls, and returns how many
// a second.
func (c *caller) fill(ctx context.Context, send bool) (uint64, error) {
	begin := time.Now()
	for moved, size := 0, leastEcho; ; size = min(2*size, maxEcho) {
		req := &api.EchoRequest{ApiVersion: api.Version}
		if send {
			req.Data = make([]byte, size)
		} else {
			req.Want = uint32(size)
		}
		if _, err := c.peer.Echo(ctx, req); err != nil {
			return 0, err
		}
		moved += size
		if took := time.Since(begin); took >= burst {
			return uint64(float64(moved) / took.Seconds()), nil
		}
	}
}
