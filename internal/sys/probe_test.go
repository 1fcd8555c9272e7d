package sys

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestProbesNameThemselves(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Probes() {
		if p.Name == "" || p.Since == "" || p.Need == "" || p.Test == nil || seen[p.Name] {
			t.Errorf("incomplete or double probe %+v", p)
		}
		if p.Of != "" && !seen[p.Of] {
			t.Errorf("%s depends on %q, which is not asked before", p.Name, p.Of)
		}
		seen[p.Name] = true
		if major, _ := parseVersion(p.Since); major == 0 {
			t.Errorf("%s: version %q", p.Name, p.Since)
		}
	}
}

// A kernel at least as new as a probe's version has it, unless it says that it
// may not; a run under restrictions shows what they say.
func TestProbesAgreeWithVersion(t *testing.T) {
	for _, p := range Probes() {
		err := p.Check()
		t.Logf("%-50s %v", p.Name, err)
		if err == nil || errors.Is(err, EPERM) || errors.Is(err, EACCES) || errors.Is(err, EBUSY) {
			continue
		}
		if kernelAtLeast(p.Since) {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestMissingIsQuickAndLeavesNothing(t *testing.T) {
	before := openFDs(t)
	start := time.Now()
	errs := Missing()
	t.Logf("%v in %v", errs, time.Since(start))
	if after := openFDs(t); after != before {
		t.Errorf("descriptors: %d before, %d after", before, after)
	}
	status, err := os.ReadFile("/proc/self/status") // the main thread's; a doomed one may be dying still
	check(t, err)
	if strings.Contains(string(status), "NoNewPrivs:\t1") && !startedWithNNP {
		t.Error("the main thread was changed")
	}
}

func TestUnsupportedSaysWhatToDo(t *testing.T) {
	p := Probe{Name: "userfaultfd write-protect", Since: "99.9", Hint: "ask root"}
	for _, c := range []struct {
		err  error
		want string
	}{
		{ENOSYS, "userfaultfd write-protect not supported (requires Linux >= 99.9)"},
		{EPERM, "userfaultfd write-protect not permitted (ask root)"},
	} {
		err := error(&Unsupported{Probe: p, Err: c.err})
		if err.Error() != c.want {
			t.Errorf("got %q, want %q", err, c.want)
		}
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, c.err) {
			t.Errorf("%v lost what it is", err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string][2]int{"6.18.44-fc": {6, 18}, "5.4": {5, 4}, "6.1-rc1": {6, 1}, "": {0, 0}} {
		if a, b := parseVersion(s); a != want[0] || b != want[1] {
			t.Errorf("%q: %d.%d", s, a, b)
		}
	}
}
