package test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"popcorn/internal/syscalls"
)

// TestCalls runs the guests that claim to test system calls with everything away,
// and holds that each claimed call was made there, by what the statistics count.
// Calls of class local reach no supervisor: nobody counts them; of our own it is
// counted only that there were some.
func TestCalls(t *testing.T) {
	for _, g := range guests(t) {
		claimed := strings.Fields(g.tags["calls"])
		if len(claimed) == 0 || g.tags["only"] != "" {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			skipGap(t, g.name, allAway)
			o := run(t, command{path: g.build(t), args: g.args()}, allAway)
			checkPromise(t, g, o)
			for _, call := range unmade(t, claimed, o.stats) {
				t.Errorf("%s is claimed, but no thread made it away from home", call)
			}
		})
	}
}

// calls is what --stats tells about system calls.
type calls struct {
	Syscalls map[string]struct {
		Answered, Forwarded uint64
		CopiedIn            uint64 `json:"copied_in"`
	} `json:"syscalls"`
	WentHome map[string]uint64 `json:"went_home"`
}

func callsOf(t *testing.T, stats []byte) (c calls) {
	t.Helper()
	if err := json.Unmarshal(stats, &c); err != nil {
		t.Fatalf("read statistics: %v", err)
	}
	return c
}

// unmade is the claimed calls that the statistics do not know.
func unmade(t *testing.T, claimed []string, stats []byte) []string {
	t.Helper()
	s := callsOf(t, stats)
	return slices.DeleteFunc(slices.Clone(claimed), func(call string) bool {
		e, known := syscalls.ByName(call)
		made := s.Syscalls[call].Answered + s.Syscalls[call].Forwarded + s.WentHome[call]
		if e.Class == syscalls.Popcorn {
			made = s.WentHome["popcorn call"]
		}
		return known && (made > 0 || e.Class == syscalls.Local)
	})
}

// TestCopiedIn: calls bring along what they read, if they are to be fast.
func TestCopiedIn(t *testing.T) {
	for _, g := range guests(t) {
		if g.name != "call_copied" {
			continue
		}
		o := run(t, command{path: g.build(t), args: g.args()}, allAway)
		checkPromise(t, g, o)
		s := callsOf(t, o.stats)
		for _, call := range []string{"write", "writev", "pwrite64", "sendmsg", "sendto", "openat", "rename", "fcntl", "semop"} {
			if c := s.Syscalls[call]; c.CopiedIn == 0 || c.CopiedIn > c.Forwarded {
				t.Errorf("%s: %d calls of %d brought along what they read", call, c.CopiedIn, c.Forwarded)
			}
		}
		return
	}
	t.Fatal("there is no guest call_copied")
}

// TestCallCoverage holds that every system call has a guest that claims it, or a
// reason why there is none.
func TestCallCoverage(t *testing.T) {
	claimed := map[string]bool{}
	for _, g := range guests(t) {
		for _, call := range strings.Fields(g.tags["calls"]) {
			claimed[call] = true
			if _, known := syscalls.ByName(call); !known {
				t.Errorf("%s claims %q, which is no system call", g.name, call)
			}
		}
	}
	all := syscalls.All()
	for _, e := range all {
		why := syscalls.Unproven[e.Name]
		switch {
		case claimed[e.Name] && why != "":
			t.Errorf("%s has a test, and a reason to have none", e.Name)
		case !claimed[e.Name] && why == "":
			t.Errorf("%s has no test", e.Name)
		}
	}
	t.Logf("%d of %d system calls have a test at a remote", len(claimed), len(all))
}
