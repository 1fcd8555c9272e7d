package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"popcorn/internal/control"
	"popcorn/internal/sys"
)

var sampleInfo = control.Info{
	ID: "aa11", Name: "sum", PID: 42, State: control.StateRunning, Command: []string{"xz", "-T4"},
	Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	Nodes:   []control.NodeInfo{{NID: 0, Name: "home"}, {NID: 1, Name: "far"}},
	Threads: []control.ThreadInfo{{TID: 42, Node: 1, State: "running"}, {TID: 43, Node: 1}, {TID: 44, Node: 0}},
}

func TestJobTable(t *testing.T) {
	silent := control.Info{ID: "bb22", PID: 7, State: stateSilent, Started: sampleInfo.Started}
	var out strings.Builder
	if err := jobTable(&out, []control.Info{sampleInfo, silent}, sampleInfo.Started.Add(90*time.Minute)); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"ID    NAME  PID  STATE    NODES  WHERE    AGE  COMMAND\n" +
		"aa11  sum   42   running  2      0:1 1:2  1h   xz -T4\n" +
		"bb22  -     7    silent   0      -        1h   -\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m", 2 * time.Hour: "2h", 47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestWhereIs(t *testing.T) {
	moving := sampleInfo
	moving.Threads = append([]control.ThreadInfo{{TID: 9, State: control.ThreadMigrating}}, sampleInfo.Threads...)
	for name, c := range map[string]struct {
		info control.Info
		tids []int
		want string
		err  error
	}{
		"all":             {sampleInfo, nil, "0,1", nil},
		"one":             {sampleInfo, []int{43}, "1", nil},
		"no such":         {sampleInfo, []int{1}, "", control.ErrNoSuchThread},
		"one on its way":  {moving, []int{9}, "migrating", nil},
		"some on its way": {moving, nil, "migrating", nil},
		"one that stays":  {moving, []int{42}, "1", nil},
		"ended":           {control.Info{}, nil, "", control.ErrNoSuchJob},
	} {
		got, err := whereIs(c.info, c.tids)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
}

func TestCheck(t *testing.T) {
	ok := sys.Probe{Name: "clocks", Since: "2.6", Need: "to tell time", Required: true, Test: func() error { return nil }}
	absent := sys.Probe{Name: "luck", Since: "9.0", Need: "to be quick", Test: func() error { return sys.ENOSYS }}
	var out strings.Builder
	if err := check(&out, []sys.Probe{ok, absent}, false); err != nil {
		t.Errorf("nothing required is missing, yet %v", err)
	}
	if want := "absent  luck not supported (requires Linux >= 9.0); without it: to be quick"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	absent.Required = true
	out.Reset()
	if err := check(&out, []sys.Probe{ok, absent}, true); codeOf(err) != exitFailed {
		t.Errorf("a required thing is missing, yet %v", err)
	}
	if !strings.Contains(out.String(), `"problem": "luck not supported`) {
		t.Errorf("JSON does not tell:\n%s", out.String())
	}
}

func TestCodes(t *testing.T) {
	for code, err := range map[int]error{
		0:               nil,
		exitFailed:      errors.New("x"),
		exitUsage:       fmt.Errorf("x: %w", control.ErrAmbiguous),
		exitAbsent:      fmt.Errorf("x: %w", control.ErrNoSuchThread),
		exitUnreachable: fmt.Errorf("x: %w", control.ErrUnreachable),
		exitRefused:     fmt.Errorf("x: %w", control.ErrRefused),
		137:             &exitError{code: 137},
	} {
		if got := codeOf(err); got != code {
			t.Errorf("codeOf(%v) = %d, want %d", err, got, code)
		}
	}
}
