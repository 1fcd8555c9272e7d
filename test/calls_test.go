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
		Copied              uint64 `json:"copied"`
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

// TestCopied: calls bring along what they read, and bring back what they write, if they
// are to be fast.
func TestCopied(t *testing.T) {
	for name, calls := range map[string]string{
		"call_copied":  "write writev pwrite64 sendmsg sendto openat rename fcntl semop",
		"call_results": "read pread64 recvfrom stat fstat readlink getcwd getrandom pipe socketpair uname epoll_wait poll select pselect6 ppoll",
	} {
		t.Run(name, func(t *testing.T) {
			g := readGuest(t, "guests/"+name+".c")
			o := run(t, command{path: g.build(t), args: g.args()}, allAway)
			checkPromise(t, g, o)
			s := callsOf(t, o.stats)
			for _, call := range strings.Fields(calls) {
				if c := s.Syscalls[call]; c.Copied == 0 || c.Copied > c.Forwarded {
					t.Errorf("%s: %d calls of %d had copies", call, c.Copied, c.Forwarded)
				}
			}
		})
	}
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
