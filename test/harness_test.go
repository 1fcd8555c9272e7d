package test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// knownGaps are guests that are known not to work yet, with the reason, by name
// or by "name/variant". It must be empty in a finished product.
var knownGaps = map[string]string{}

// Filled in by TestMain.
var (
	popcornBin string // the product, built from this tree
	scratch    string // removed at the end
	repo       string // the root of this tree
	seed       uint64
)

const (
	prSetChildSubreaper = 36  // prctl(2)
	sysCloseRange       = 436 // close_range(2)
	closeRangeCloexec   = 4
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "popcorn-test-"); err != nil {
		fmt.Fprintln(os.Stderr, "make scratch directory:", err)
		return 1
	}
	defer os.RemoveAll(scratch)
	// Another user must be able to reach the product (wronguse_test.go).
	os.Chmod(scratch, 0o755)
	if repo, err = filepath.Abs(".."); err != nil {
		fmt.Fprintln(os.Stderr, "find repository:", err)
		return 1
	}
	seed = uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("POPCORN_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	// What loses its parent becomes our child, so that leftovers shows it even
	// when it cleared its environment.
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		fmt.Fprintln(os.Stderr, "become subreaper:", errno)
		return 1
	}
	// What whoever started the tests had open is no program's affair.
	syscall.RawSyscall(sysCloseRange, 3, 1<<32-1, closeRangeCloexec)
	popcornBin = filepath.Join(scratch, "popcorn")
	build := exec.Command("go", "build", "-o", popcornBin, "./cmd/popcorn")
	build.Dir, build.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build popcorn: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// soak is 0 for a normal run, 1 or 2 as POPCORN_SOAK says.
func soak() int {
	n, _ := strconv.Atoi(os.Getenv("POPCORN_SOAK"))
	return n
}

// full chooses between a size for every day and the one of a soak.
func full[T any](normal, soaked T) T {
	if soak() > 0 {
		return soaked
	}
	return normal
}

// random is a source of choices that POPCORN_TEST_SEED repeats.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("POPCORN_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, uint64(len(t.Name()))))
}

// variant is one way to run a command.
type variant struct {
	name  string
	nodes int // 0: natively
	flags []string
	env   []string
}

var (
	native   = variant{name: "native"}
	oneNode  = variant{name: "nodes1", nodes: 1, flags: []string{"--nodes", "1"}}
	allAway  = variant{name: "away", nodes: 2, flags: []string{"--nodes", "2", "--on", "1"}}
	spread2  = variant{name: "spread2", nodes: 2, flags: []string{"--nodes", "2", "--spread"}}
	spread3  = variant{name: "spread3", nodes: 3, flags: []string{"--nodes", "3", "--spread"}}
	restless = variant{name: "restless", nodes: 3, flags: []string{"--nodes", "3", "--on", "1"},
		env: []string{"POPCORN_TEST_HOP=1"}}

	variants = []variant{oneNode, allAway, spread2, spread3}
)

// guestSource is a program under guests/ and what its first lines say.
type guestSource struct {
	name string
	file string
	tags map[string]string
}

// guests reads the list of guest programs from the directory.
func guests(t *testing.T) []guestSource {
	t.Helper()
	var list []guestSource
	for _, pattern := range []string{"guests/*.c", "guests/*/main.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			list = append(list, readGuest(t, f))
		}
	}
	if len(list) == 0 {
		t.Fatal("no guests found")
	}
	return list
}

func readGuest(t *testing.T, file string) guestSource {
	t.Helper()
	g := guestSource{file: file, tags: map[string]string{}}
	g.name = strings.TrimSuffix(filepath.Base(file), ".c")
	if g.name == "main.go" {
		g.name = filepath.Base(filepath.Dir(file))
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, isComment := strings.CutPrefix(lines.Text(), "// ")
		if !isComment {
			break
		}
		if key, value, ok := strings.Cut(text, ": "); ok && !strings.Contains(key, " ") {
			g.tags[key] = strings.TrimSpace(g.tags[key] + " " + value) // a long one takes several lines
		}
	}
	return g
}

// args are the guest's arguments for this run of the tests.
func (g guestSource) args() []string {
	if a, ok := g.tags["soak"]; ok && soak() > 0 {
		return strings.Fields(a)
	}
	return strings.Fields(g.tags["args"])
}

// exitCode is what the guest promises, 128+N for signal N.
func (g guestSource) exitCode(t *testing.T) int {
	t.Helper()
	text, ok := g.tags["exit"]
	if !ok {
		return 0
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: exit code %q: %v", g.file, text, err)
	}
	return code
}

var built sync.Map // file -> path of the program

// build compiles the guest once and returns the program's path.
func (g guestSource) build(t *testing.T) string {
	t.Helper()
	if path, ok := built.Load(g.file); ok {
		return path.(string)
	}
	out := filepath.Join(scratch, "guest-"+g.name)
	var cc *exec.Cmd
	if strings.HasSuffix(g.file, ".go") {
		cc = exec.Command("go", "build", "-o", out, "./"+filepath.Dir(g.file))
		cc.Env = append(os.Environ(), "CGO_ENABLED=0")
	} else {
		cc = compiler(t, out, g.file, strings.Fields(g.tags["build"])...)
	}
	if text, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", g.file, err, text)
	}
	built.Store(g.file, out)
	return out
}

// compiler is gcc making out from a C file.
func compiler(t *testing.T, out, file string, flags ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc here")
	}
	args := []string{"-O2", "-g", "-Wall", "-pthread", "-I", filepath.Join(repo, "lib"),
		"-I", filepath.Join(repo, "test", "guests"), "-o", out, file}
	return exec.Command("gcc", append(args, flags...)...)
}

// guest builds guests/name.c and returns the program.
func guest(t *testing.T, name string) string {
	t.Helper()
	return readGuest(t, filepath.Join("guests", name+".c")).build(t)
}
