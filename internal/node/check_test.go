package node

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"popcorn/internal/guest"
	"popcorn/internal/node/api"
	"popcorn/internal/sys"
)

func (s Survey) finding(t *testing.T, name string) Finding {
	t.Helper()
	i := slices.IndexFunc(s.Findings, func(f Finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("nothing on %s in %+v", name, s.Findings)
	}
	return s.Findings[i]
}

func TestCheck(t *testing.T) {
	hosts := cluster(t, 2)
	a, b := hosts[0], hosts[1]
	a.until("a=alive b=alive")
	s, err := a.client.Check(t.Context(), "b")
	check(t, err)
	if s.Version != "test" || s.API != api.Version || s.Link == nil {
		t.Fatalf("survey %+v", s)
	}
	l := *s.Link
	if l.RoundTrip <= 0 || l.Sent <= 0 || l.Received <= 0 || (l.ClockAhead.Abs() > l.ClockError) {
		t.Errorf("a link to the same machine: %+v", l)
	}
	for _, p := range sys.Probes() {
		if f := s.finding(t, p.Name); f.OK != (p.Check() == nil) || f.Required != p.Required {
			t.Errorf("%s: %+v", p.Name, f)
		}
	}
	if f := s.finding(t, "lets this user in"); !f.OK {
		t.Errorf("%+v", f)
	}
	own, err := a.client.Check(t.Context(), "a")
	check(t, err)
	if own.Link != nil || len(own.Findings) != len(s.Findings) {
		t.Errorf("of this host: %+v", own)
	}
	_, err = a.client.Check(t.Context(), "nobody")
	wantErr(t, err, ErrNoSuchNode)
	a.drain("b")
	s, err = a.client.Check(t.Context(), "b")
	check(t, err)
	if f := s.finding(t, "lets this user in"); f.OK || !f.Required || !strings.Contains(f.Problem, "being emptied") || s.Missing() == 0 {
		t.Errorf("of a node that is emptied: %+v", f)
	}
	b.stop()
	_, err = a.client.Check(t.Context(), "b")
	wantErr(t, err, ErrUnreachable)
}

// Whom a node does not let in, it says.
func TestCheckOfPolicy(t *testing.T) {
	a := newHost(t, "a")
	a.start()
	a.daemon.deputies.govern(policy{users: []string{"4711"}, euid: os.Geteuid() + 1}) // as if it were another's
	s, err := a.client.Check(t.Context(), "a")
	check(t, err)
	if f := s.finding(t, "lets this user in"); f.OK || !strings.Contains(f.Problem, "belongs to user") {
		t.Errorf("%+v", f)
	}
}

// What differs between two hosts is told, with what to do.
func TestJudgeNode(t *testing.T) {
	here := &api.CheckHereResponse{Version: "1", ApiVersion: 2, Arch: "amd64", Cpu: cpuToWire(guest.CPU{Features: []string{"avx", "xsavec"}})}
	there := &api.CheckHereResponse{Version: "2", ApiVersion: 1, Arch: "arm64", Cpu: cpuToWire(guest.CPU{Features: []string{"bmi1", "xsavec"}})}
	r := &api.CheckResponse{Here: here, There: there, ClockAhead: -int64(time.Hour), ClockError: int64(time.Millisecond)}
	s := Survey{Findings: judgeNode("b", r)}
	for name, want := range map[string]string{
		"architecture":          "take nodes of one",
		"processor":             "avx",
		"more of the processor": "bmi1",
		"popcorn version":       "install the same",
		"API version":           "update popcorn at node b",
		"clock":                 "-1h0m0s off: run an NTP client",
	} {
		if f := s.finding(t, name); f.OK || !strings.Contains(f.Problem, want) {
			t.Errorf("%s: %+v, want %s", name, f, want)
		}
	}
	if s.Missing() != 3 {
		t.Errorf("%d things missing", s.Missing())
	}
	for _, f := range judgeNode("a", &api.CheckResponse{Here: here, There: here}) {
		if !f.OK {
			t.Errorf("of two alike: %+v", f)
		}
	}
}

func TestCheckEnds(t *testing.T) {
	if _, err := outputOf([]string{"/nonexistent"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	text, err := outputOf([]string{"/bin/sh", "-c", "echo so"}, nil)
	if err != nil || string(text) != "so\n" {
		t.Errorf("wrote %q, %v", text, err)
	}
}

func TestEchoIsBounded(t *testing.T) {
	_, err := peerCalls{}.Echo(t.Context(), &api.EchoRequest{Want: maxEcho + 1})
	wantErr(t, err, ErrMalformed)
}
