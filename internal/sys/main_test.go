package sys

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

var startedWithNNP bool

// childEnv names the part that this test binary plays as a child.
const childEnv = "POPCORN_SYS_TEST_CHILD"

// children are those parts; each returns an exit code.
var children = map[string]func() int{}

func TestMain(m *testing.M) {
	if part := os.Getenv(childEnv); part != "" {
		os.Exit(children[part]())
	}
	b, _ := os.ReadFile("/proc/self/status")
	startedWithNNP = strings.Contains(string(b), "NoNewPrivs:\t1")
	os.Exit(m.Run())
}

// childCmd runs this binary as part; files become its descriptors 3 and up.
func childCmd(t *testing.T, part string, files ...*os.File) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childEnv+"="+part)
	c.Stderr = os.Stderr
	c.ExtraFiles = files
	return c
}

func openFDs(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
