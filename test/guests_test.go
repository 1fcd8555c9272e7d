package test

import (
	"bytes"
	"testing"
)

// TestGuestsNatively holds the guests themselves: on a plain kernel each keeps
// the promise of its first lines.
func TestGuestsNatively(t *testing.T) {
	for _, g := range guests(t) {
		if g.tags["only"] != "" {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			checkPromise(t, g, run(t, command{path: g.build(t), args: g.args()}, native))
		})
	}
}

// TestGuests runs every guest in every variant.
func TestGuests(t *testing.T) {
	for _, g := range guests(t) {
		if g.tags["only"] != "" {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			c := command{path: g.build(t), args: g.args()}
			want := run(t, c, native)
			checkPromise(t, g, want)
			for _, v := range append(variants, restless) {
				t.Run(v.name, func(t *testing.T) {
					skipGap(t, g.name, v)
					compare(t, c, want, run(t, c, v))
				})
			}
		})
	}
}

// skipGap skips what knownGaps names.
func skipGap(t *testing.T, name string, v variant) {
	t.Helper()
	for _, key := range []string{name, name + "/" + v.name} {
		if why, gap := knownGaps[key]; gap {
			t.Skip("known gap: " + why)
		}
	}
}

func checkPromise(t *testing.T, g guestSource, o outcome) {
	t.Helper()
	if want := g.exitCode(t); o.code != want {
		t.Fatalf("exit code %d, promised %d\nstdout: %s\nstderr: %s", o.code, want, tail(o.stdout), tail(o.stderr))
	}
	if !bytes.HasSuffix(o.stdout, []byte("EXIT-SUCCESS\n")) {
		t.Fatalf("no EXIT-SUCCESS\nstdout: %s\nstderr: %s", tail(o.stdout), tail(o.stderr))
	}
}
