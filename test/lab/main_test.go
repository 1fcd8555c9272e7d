package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// probe is testdata/probe, compiled.
var probe string

// probeEnv hands it to a child that runs one of these tests.
const probeEnv = "POPCORN_LAB_TEST_PROBE"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if probe = os.Getenv(probeEnv); probe != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "popcorn-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make scratch directory:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	probe = filepath.Join(dir, "probe")
	build := exec.Command("go", "build", "-o", probe, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build probe: %v\n%s", err, out)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// limit ends what hangs.
const limit = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// withProbe is a lab whose hosts have the probe.
func withProbe(t *testing.T, n int, options ...Option) *Lab {
	t.Helper()
	return New(t, n, append(options, File("/usr/bin/probe", probe))...)
}

// run runs the probe on a host and returns what it printed.
func run(t *testing.T, h *Host, args ...string) string {
	t.Helper()
	cmd := h.Command(within(t), append([]string{"probe"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("probe %v on %s: %v", args, h.Name, err)
	}
	return string(out)
}

// start starts the probe on a host and waits for its first line.
func start(t *testing.T, h *Host, args ...string) (*Program, string) {
	t.Helper()
	cmd := h.Command(within(t), append([]string{"probe"}, args...)...)
	p, line := begin(t, h, cmd)
	return p, line
}
