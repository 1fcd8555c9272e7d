package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestHeaderCompiles: lib/popcorn.h is clean in every dialect it promises, alone
// and twice in one program.
func TestHeaderCompiles(t *testing.T) {
	const source = `#include "popcorn.h"
#include "popcorn.h"
int main(void) { return current_nid() == -1 && migrate(1, NULL, NULL) == ENOSYS && popcorn_malloc(1) ? 0 : 1; }
`
	for _, dialect := range []struct{ compiler, std, suffix string }{
		{"gcc", "-std=c99", ".c"}, {"gcc", "-std=c11", ".c"}, {"gcc", "-std=gnu17", ".c"},
		{"g++", "-std=c++11", ".cc"}, {"g++", "-std=c++20", ".cc"},
	} {
		t.Run(dialect.compiler+dialect.std, func(t *testing.T) {
			if _, err := exec.LookPath(dialect.compiler); err != nil {
				t.Skip("no " + dialect.compiler + " here")
			}
			file := filepath.Join(t.TempDir(), "main"+dialect.suffix)
			if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
				t.Fatal(err)
			}
			cc := exec.Command(dialect.compiler, dialect.std, "-Wall", "-Wextra", "-pedantic", "-Werror",
				"-I", filepath.Join(repo, "lib"), "-o", file+".out", file)
			if out, err := cc.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if o := run(t, command{path: file + ".out"}, native); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
		})
	}
}
