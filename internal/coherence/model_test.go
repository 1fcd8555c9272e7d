package coherence

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popcorn/internal/vm"
)

const modelFile = "../../docs/model/coherence.pml"

// needs skips when a tool that the model check runs is missing.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (Debian packages spin and gcc)", tool)
		}
	}
}

// tool runs a command in dir and gives it a minute.
func tool(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// verify checks the model exhaustively and returns pan's report.
func verify(t *testing.T, progress bool, defines ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, err := os.ReadFile(modelFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.pml"), src, 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, append(append([]string{"spin"}, defines...), "-a", "model.pml")...)
	check, run := "-DSAFETY", []string{"./pan", "-m200000"}
	if progress {
		check, run = "-DNP", append(run, "-l")
	}
	tool(t, dir, "gcc", "-O0", "-w", "-DCOLLAPSE", check, "-o", "pan", "pan.c")
	return string(tool(t, dir, run...))
}

func TestModelIsRight(t *testing.T) {
	needs(t, "spin", "gcc")
	sizes := [][]string{{"-DN=3", "-DP=1", "-DOPS=2"}, {"-DN=2", "-DP=2", "-DOPS=3"}}
	if os.Getenv("POPCORN_SOAK") != "" {
		sizes = append(sizes, []string{"-DN=3", "-DP=1", "-DOPS=3"}, []string{"-DN=3", "-DP=2", "-DOPS=2"})
	}
	for _, size := range sizes {
		for _, progress := range []bool{false, true} {
			name := fmt.Sprintf("%s/progress=%v", strings.Join(size, ""), progress)
			t.Run(name, func(t *testing.T) {
				report := verify(t, progress, size...)
				if !strings.Contains(report, "errors: 0\n") || strings.Contains(report, "max search depth too small") {
					t.Errorf("the model breaks the law:\n%s", report)
				}
			})
		}
	}
}

// TestModelCanFail breaks the protocol on purpose: a check that cannot fail
// proves nothing.
func TestModelCanFail(t *testing.T) {
	needs(t, "spin", "gcc")
	for _, c := range []struct {
		define   string
		progress bool
		want     string
	}{
		{"-DEARLY", false, "assertion violated"},
		{"-DNOLOCK", false, "assertion violated"},
		{"-DNOGUARD", true, "non-progress cycle"},
	} {
		report := verify(t, c.progress, c.define)
		if !strings.Contains(report, "pan:1: "+c.want) {
			t.Errorf("%s: not found: %s\n%s", c.define, c.want, report)
		}
	}
}

// TestModelTraces replays random runs of the model against the code: after
// every event both must be in the same state.
func TestModelTraces(t *testing.T) {
	needs(t, "spin")
	runs := 20
	if os.Getenv("POPCORN_SOAK") != "" {
		runs = 400
	}
	path, err := filepath.Abs(modelFile)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range runs {
		pages := 1 + seed%2
		out := tool(t, t.TempDir(), "spin", "-DNOGUARD", "-DOPS=30", fmt.Sprintf("-DP=%d", pages),
			"-T", fmt.Sprintf("-n%d", seed+1), "-u20000", path)
		if n := replay(t, seed, out); n < 100 {
			t.Fatalf("seed %d: only %d events replayed", seed, n)
		}
	}
}

func replay(t *testing.T, seed int, trace []byte) (events int) {
	w := newWorld(3, 0, Config{MaxRun: 1})
	lines := bufio.NewScanner(bytes.NewReader(trace))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		var a, b, c int
		var have, dir string
		if k, _ := fmt.Sscanf(line, "EV fault %d %d %d", &a, &b, &c); k == 3 {
			n := w.nodes[a]
			n.m.Fault(0, vm.Page(b), Access(c-1), 1)
			n.run(nil)
			events++
		} else if k, _ := fmt.Sscanf(line, "EV deliver %d %d", &a, &b); k == 2 {
			pair := [2]NodeID{NodeID(a), NodeID(b)}
			if len(w.wires[pair]) == 0 {
				t.Fatalf("seed %d, event %d: the model delivers from n%d to n%d, the code sent nothing\n%s",
					seed, events, a, b, strings.Join(w.log, "\n"))
			}
			w.deliver(pair)
			events++
		} else if k, _ := fmt.Sscanf(line, "ST %d %d: %s %s", &a, &b, &have, &dir); k == 4 {
			if got := w.state(vm.Page(a)); got != fmt.Sprintf("%d: %s %s", b, have, dir) {
				t.Fatalf("seed %d, event %d, page %d: the model is in state %s, the code in %s\n%s",
					seed, events, a, line, got, strings.Join(w.log, "\n"))
			}
		}
	}
	return events
}

// state is a page's state as the model prints it: lock, what each node has,
// what the directory says each has.
func (w *world) state(p vm.Page) string {
	e := w.nodes[0].m.view(p)
	lock := 0
	if e.locked() {
		lock = 1
	}
	s := fmt.Sprintf("%d: ", lock)
	for _, n := range w.nodes {
		s += fmt.Sprint(int(n.m.mode(p)))
	}
	s += " "
	for _, n := range w.nodes {
		s += fmt.Sprint(int(e.at(n.id)))
	}
	return s
}
