package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCoreDump ends a program with threads and memory on several nodes by each
// kind of signal that dumps core. What a debugger sees in the dump is what it sees
// in that of a native run: all memory, and the frames of all threads.
func TestCoreDump(t *testing.T) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.ContainsAny(string(pattern), "|/") {
		t.Skipf("core dumps go to %q here (%v)", pattern, err)
	}
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Fatal("gdb is not installed; make deps does that")
	}
	for _, how := range []struct {
		arg  string
		code int
		in   []variant
	}{{"segv", 139, []variant{native, allAway, spread3}}, {"abort", 134, []variant{spread3}},
		{"quit", 131, []variant{allAway, spread3}}, {"fault", 132, []variant{spread3}}} {
		t.Run(how.arg, func(t *testing.T) {
			c := command{path: guest(t, "core_dump"), args: []string{how.arg}}
			for _, v := range how.in {
				t.Run(v.name, func(t *testing.T) { checkCore(t, c, v, how.code) })
			}
		})
	}
}

// inCore is what gdb prints of the dump: last words of what each thread wrote,
// and where each was.
var inCore = []string{"$1 = 4095", "$2 = 1004095", "$3 = 2004095", "$4 = 4095", "$5 = 1004095", "$6 = 2004095",
	"entry=1) at", "entry=2) at", "crash_here"}

func checkCore(t *testing.T, c command, v variant, code int) {
	t.Helper()
	r := start(t, c, v)
	if o := r.wait(); o.code != code {
		t.Fatalf("exit code %d, want %d\nstderr: %s", o.code, code, tail(o.stderr))
	}
	cores, _ := filepath.Glob(filepath.Join(r.dir, "core*")) // the pattern is right
	if len(cores) != 1 {
		t.Fatalf("core dumps %v, want one", cores)
	}
	args := []string{"-batch", "-nx", "-iex", "set max-value-size unlimited", "-iex", "set debuginfod enabled off"}
	for _, e := range []string{"words[0][4095]", "words[1][4095]", "words[2][4095]", "heap[0][4095]", "heap[1][4095]", "heap[2][4095]"} {
		args = append(args, "-ex", "print "+e)
	}
	out, err := exec.Command("gdb", append(args, "-ex", "thread apply all backtrace", c.path, cores[0])...).CombinedOutput()
	if err != nil {
		t.Fatalf("gdb: %v\n%s", err, tail(out))
	}
	for _, want := range inCore {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, tail(out))
		}
	}
}
