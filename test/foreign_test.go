package test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Nodes that take the origin for another machine: with other clocks and, for all
// they know, another vDSO.
var (
	foreignAway     = variant{name: "away", nodes: 2, flags: allAway.flags, env: []string{"POPCORN_TEST_FOREIGN=1"}}
	foreignMixed    = variant{name: "mixed", nodes: 3, flags: spread3.flags, env: []string{"POPCORN_TEST_FOREIGN=2"}}
	foreignRestless = variant{name: "restless", nodes: 3, flags: restless.flags,
		env: []string{"POPCORN_TEST_FOREIGN=1", "POPCORN_TEST_HOP=1"}}
)

// TestForeignGuests runs what has to do with time, signals and the vDSO at such nodes.
func TestForeignGuests(t *testing.T) {
	for _, g := range guests(t) {
		kind, _, _ := strings.Cut(g.name, "_")
		timed := g.name == "fut_meet" || g.name == "fut_timeout"
		if g.tags["only"] != "" || !timed && kind != "time" && kind != "sig" && kind != "misc" {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			c := command{path: g.build(t), args: g.args()}
			want := run(t, c, native)
			checkPromise(t, g, want)
			for _, v := range []variant{foreignAway, foreignMixed, foreignRestless} {
				t.Run(v.name, func(t *testing.T) { compare(t, c, want, run(t, c, v)) })
			}
		})
	}
}

// TestForeignPrograms: interpreters look at clocks all the time.
func TestForeignPrograms(t *testing.T) {
	for _, p := range realPrograms(t) {
		if !strings.HasPrefix(p.name, "python") {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			want := run(t, p.command, native)
			for _, v := range []variant{foreignAway, foreignMixed} {
				t.Run(v.name, func(t *testing.T) { compare(t, p.command, want, run(t, p.command, v)) })
			}
		})
	}
}

// TestForeignMoves moves a program between home, a node like home and one unlike
// it, mostly while it is in the middle of reading a clock.
func TestForeignMoves(t *testing.T) {
	c := command{path: guest(t, "moves_clock"), args: []string{full("2", "60")}}
	for _, v := range []variant{
		{name: "two", nodes: 2, flags: []string{"--nodes", "2"}, env: foreignAway.env},
		{name: "mixed", nodes: 3, flags: []string{"--nodes", "3"}, env: foreignMixed.env},
	} {
		t.Run(v.name, func(t *testing.T) {
			r := start(t, c, v)
			moves := r.moveAround(v.nodes, false)
			o := r.wait()
			checkPromise(t, guestSource{}, o)
			t.Logf("%d moves", moves)
			if moves == 0 {
				t.Error("nothing was moved")
			}
			if n := wentHome(t, o.stats, "touched memory that stays at home"); n > 0 {
				t.Errorf("%d times a thread was in the middle of reading a clock at a foreign node", n)
			}
		})
	}
}

// TestForeignClocks: at a foreign node clocks are read at home, at others there.
func TestForeignClocks(t *testing.T) {
	g := readGuest(t, "guests/time_clock.c")
	c := command{path: g.build(t), args: []string{"8"}}
	for _, v := range []variant{allAway, foreignAway} {
		t.Run(v.name, func(t *testing.T) {
			asked := forwarded(t, run(t, c, v).stats, "clock_gettime")
			if foreign := v.env != nil; foreign != (asked >= 4*5) { // half of 8 rounds, 5 clocks in each
				t.Errorf("%d clocks read at home, foreign: %v", asked, foreign)
			}
		})
	}
}

// TestForeignTime: a program that enters a time namespace has other clocks than
// the nodes it was started on. They are right wherever it is.
func TestForeignTime(t *testing.T) {
	shift := []string{"-T", "--monotonic", "1000000", "--boottime", "2000000"}
	if out, err := exec.Command("unshare", append(shift, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no time namespace for us: %v %s", err, out)
	}
	for _, name := range []string{"time_clock", "time_sleep"} {
		g := readGuest(t, "guests/"+name+".c")
		c := command{path: "unshare", args: slices.Concat(shift, []string{g.build(t)}, g.args())}
		t.Run(name, func(t *testing.T) {
			want := run(t, c, native)
			checkPromise(t, g, want)
			for _, v := range []variant{allAway, spread3} {
				t.Run(v.name, func(t *testing.T) { compare(t, c, want, run(t, c, v)) })
			}
		})
	}
}

// callStats is the part of the statistics that tells of calls and trips home.
type callStats struct {
	Syscalls map[string]struct{ Forwarded int } `json:"syscalls"`
	WentHome map[string]int                     `json:"went_home"`
}

func readCallStats(t *testing.T, stats []byte) (s callStats) {
	t.Helper()
	if err := json.Unmarshal(stats, &s); err != nil {
		t.Fatalf("read statistics: %v\n%s", err, tail(stats))
	}
	return s
}

// forwarded is how many calls of a name were made at home.
func forwarded(t *testing.T, stats []byte, call string) int {
	t.Helper()
	return readCallStats(t, stats).Syscalls[call].Forwarded
}

// wentHome is how often threads went home for a reason.
func wentHome(t *testing.T, stats []byte, reason string) int {
	t.Helper()
	return readCallStats(t, stats).WentHome[reason]
}
