package test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLitmusNatively: the litmus programs themselves forbid nothing that a
// plain x86 machine does.
func TestLitmusNatively(t *testing.T) {
	for _, name := range litmusNames(t) {
		for _, layout := range []string{"same", "diff"} {
			t.Run(name+"/"+layout, func(t *testing.T) {
				c := command{path: guest(t, name), args: []string{"2000", "0,1", layout}}
				checkPromise(t, guestSource{}, run(t, c, native))
			})
		}
	}
}

// TestLitmus asks every litmus program for a forbidden outcome, with its
// threads on two and three nodes, its variables on one page and on several.
func TestLitmus(t *testing.T) {
	rounds := strconv.Itoa(full(1000, 100_000))
	for _, name := range litmusNames(t) {
		for _, layout := range []string{"same", "diff"} {
			for _, place := range []struct {
				v     variant
				nodes string
			}{{allAway, "0,1"}, {allAway, "1,0"}, {spread3, "0,1,2"}, {spread3, "2,1"}} {
				t.Run(name+"/"+layout+"/"+strings.ReplaceAll(place.nodes, ",", ""), func(t *testing.T) {
					skipGap(t, name, place.v)
					c := command{path: guest(t, name), args: []string{rounds, place.nodes, layout},
						deadline: full(time.Minute, 30*time.Minute)}
					o := run(t, c, place.v)
					t.Logf("%s rounds in %v", rounds, o.took.Round(time.Millisecond))
					checkPromise(t, guestSource{}, o)
				})
			}
		}
	}
}

// litmusNames lists the litmus programs.
func litmusNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("guests/litmus_*.c")
	if err != nil || len(files) == 0 {
		t.Fatal("no litmus programs: ", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".c")
	}
	return files
}
