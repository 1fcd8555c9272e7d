package test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
)

// TestErrnos has every call that home's kernel makes for a thread away fail with every
// error there is. A filter at home does that, which the other host knows nothing of.
func TestErrnos(t *testing.T) {
	c := newCluster(t, 2)
	program := c.put(guest(t, "fail_calls"))
	var calls []string
	var names []string
	for _, e := range syscalls.All() {
		if e.Class != syscalls.Home {
			continue
		}
		names = append(names, e.Name)
		call := strconv.Itoa(e.Nr)
		if syscalls.RestartsWithEINTR(e.Nr) {
			// For home that is a stop of ours, without a signal: it makes the call again.
			call += "!" + strconv.Itoa(int(sys.EINTR))
		}
		calls = append(calls, call)
	}
	a := c.start(c.lab.Hosts()[0], []string{"POPCORN_TEST_NODES=2"}, slices.Concat(
		[]string{program, "popcorn", "run", "--stats", "/tmp/stats", "-H", "b", "--", program, "-"}, calls)...)
	if code, out, errs := c.end(a, 3*time.Minute); code != 0 || !strings.HasSuffix(out, "EXIT-SUCCESS\n") {
		t.Fatalf("exit code %d: %s\n%s", code, out, errs)
	}
	stats, err := c.lab.Hosts()[0].ReadFile("/tmp/stats")
	if err != nil {
		t.Fatal(err)
	}
	s := callsOf(t, stats)
	for _, name := range names {
		if n := s.Syscalls[name].Forwarded; n < 132 {
			t.Errorf("%s was forwarded %d times", name, n)
		}
	}
	t.Logf("%d calls", len(names))
}
