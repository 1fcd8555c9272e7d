package node

import (
	"testing"
	"time"

	"popcorn/internal/trust"
)

func newRegistry(t *testing.T, dir string) *registry {
	t.Helper()
	d, err := trust.OpenDir(dir)
	check(t, err)
	r, err := openRegistry(d, time.Hour, Member{Name: "a", Address: "h:1", State: Alive})
	check(t, err)
	return r
}

func states(r *registry) string {
	text := ""
	for _, m := range r.List() {
		text += m.Name + "=" + string(m.State) + " "
	}
	return text
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	r := newRegistry(t, dir)
	b := Member{Name: "b", Address: "h:2", State: Alive}
	check(t, r.admit(b))
	wantErr(t, r.admit(b), ErrRefused)
	wantErr(t, r.admit(Member{Name: "a"}), ErrRefused)
	if got := states(r); got != "a=alive b=silent " {
		t.Errorf("admitted: %s", got)
	}
	check(t, r.heard(b))
	r = newRegistry(t, dir) // a restart: b has its patience
	if got := states(r); got != "a=alive b=alive " {
		t.Errorf("heard: %s", got)
	}
	r.beat = 0
	if got := states(r); got != "a=alive b=silent " {
		t.Errorf("not heard: %s", got)
	}
	check(t, r.leave("b"))
	wantErr(t, r.leave("b"), ErrNoSuchNode)
	wantErr(t, r.heard(b), ErrRefused) // on its way when it was removed
	check(t, r.admit(b))
	r.members["b"].State, r.members["b"].Since = Left, time.Now().Add(-2*keepLeft)
	check(t, r.admit(Member{Name: "c", Address: "h:3"}))
	if got := states(newRegistry(t, dir)); got != "a=alive c=silent " {
		t.Errorf("later: %s", got)
	}
}
