package node

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// founded is a registry over dir, founded if there is none.
func founded(t *testing.T, dir string) *registry {
	t.Helper()
	d, err := trust.OpenDir(dir)
	check(t, err)
	if _, err := trust.Load(d); err != nil {
		check(t, trust.Found(d, "a"))
	}
	id, err := trust.Load(d)
	check(t, err)
	auth, err := trust.OpenAuthority(d)
	check(t, err)
	book, err := openDirectory(d, id)
	check(t, err)
	own, err := newSpeaker(d, id, Member{Name: "a", Address: "h:1", State: Alive})
	check(t, err)
	m := &membership{directory: book, speaker: own, views: newViews(), news: make(chan struct{}, 1), beat: time.Hour, log: slog.New(slog.DiscardHandler)}
	m.gossip = newGossip(m, id, "a", m.log)
	r, err := openRegistry(auth, m, false)
	check(t, err)
	return r
}

func states(r *registry) string {
	var out []string
	for _, m := range r.m.List() {
		out = append(out, m.Name+"="+string(m.State))
	}
	return strings.Join(out, " ")
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	r := founded(t, dir)
	b := Member{Name: "b", Address: "h:2", State: Alive}
	check(t, r.admit(b))
	wantErr(t, r.admit(b), ErrRefused)
	wantErr(t, r.admit(Member{Name: "a"}), ErrRefused)
	if got := states(r); got != "a=alive b=unreachable" {
		t.Errorf("admitted: %s", got)
	}
	r.m.views.heard("b")
	r.m.views.judge(time.Hour)
	if got := states(r); got != "a=alive b=alive" {
		t.Errorf("heard: %s", got)
	}
	r.m.views.judge(0)
	if got := states(r); got != "a=alive b=unreachable" {
		t.Errorf("not heard: %s", got)
	}
	before := r.m.current().Number
	r = founded(t, dir)
	if got := states(r); got != "a=alive b=unreachable" || r.m.current().Number != before {
		t.Errorf("after a restart: %s, number %d, was %d", got, r.m.current().Number, before)
	}
	check(t, r.leave("b"))
	wantErr(t, r.leave("b"), ErrNoSuchNode)
	check(t, r.admit(b))
	check(t, r.leave("b"))
	check(t, r.change(func(next *api.Roster) error {
		seatOf(next, "b").Since = time.Now().Add(-2 * keepLeft).Unix()
		return nil
	}))
	check(t, r.admit(Member{Name: "c", Address: "h:3"}))
	if got := states(founded(t, dir)); got != "a=alive c=unreachable" {
		t.Errorf("later: %s", got)
	}
}

// The list of members of an older popcorn is taken over.
func TestRegistryOfOlderVersion(t *testing.T) {
	dir, err := trust.OpenDir(t.TempDir())
	check(t, err)
	check(t, dir.WriteJSON(membersFile, []Member{{Name: "b", Address: "h:2"}, {Name: "c", Address: "h:3", State: Left, Since: time.Now()}}))
	if got := states(founded(t, string(dir))); got != "a=alive b=unreachable c=left" {
		t.Errorf("members: %s", got)
	}
}

// What the authority has not signed is not believed, nor what a node says of another;
// an older word does not take the place of a newer one.
func TestDirectoryBelievesSignaturesOnly(t *testing.T) {
	a, other := founded(t, t.TempDir()), founded(t, t.TempDir())
	check(t, a.admit(Member{Name: "b", Address: "h:2"}))
	old := a.m.known().Roster
	check(t, a.leave("b"))
	new := a.m.known().Roster

	forged := a.m.current()
	forged.Number++
	seatOf(forged, "b").Left = false
	text, err := proto.Marshal(forged)
	check(t, err)
	theirs, err := other.sign(forged)
	check(t, err)
	own, cert, err := a.m.speaker.id.Sign(trust.Rosters, text) // a node's key is not the authority's
	check(t, err)
	for name, s := range map[string]*api.SignedRoster{
		"no signature":      {Roster: text},
		"another roster's":  {Roster: text, Signature: new.Signature},
		"another cluster's": theirs,
		"a member's":        {Roster: text, Signature: own},
	} {
		if fresh, err := a.m.takeRoster(s); fresh || err == nil {
			t.Errorf("%s: taken, %v", name, err)
		}
	}
	if fresh, err := a.m.takeRoster(old); fresh || err != nil {
		t.Errorf("an old roster: %v, %v", fresh, err)
	}
	if got := states(a); got != "a=alive b=left" {
		t.Errorf("members: %s", got)
	}

	text, err = proto.Marshal(&api.Statement{Self: Member{Name: "b", Address: "h:9", State: Draining}.toWire(), Number: 1})
	check(t, err)
	sig, _, err := a.m.speaker.id.Sign(trust.Statements, text)
	check(t, err)
	if fresh, _ := a.m.takeStatement(&api.SignedStatement{Statement: text, Signature: sig, Certificate: cert}); fresh {
		t.Error("a node's word on another was taken")
	}
	if fresh, err := a.m.takeStatement(&api.SignedStatement{Statement: text, Signature: own, Certificate: cert}); fresh || err == nil {
		t.Errorf("a statement under another's signature: %v", err)
	}
}
