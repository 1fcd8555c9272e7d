package job

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"popcorn/internal/wire"
)

// TestUnmet: a host that goes silent after its deputy has called, and before its
// supervisor has said where it is, is lost; one that is only late is not.
func TestUnmet(t *testing.T) {
	l := newLauncher(Spec{Nodes: 3, Hosts: []Host{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
	for nid := range l.nodes {
		l.nodes[nid] = &child{post: deaf{}, nid: nid}
	}
	expired := make(chan time.Time, 1)
	expired <- time.Time{}
	l.meet, l.late = expired, true
	for _, nid := range []int{0, 1} {
		l.handle(packet{from: l.nodes[nid], msg: fromSupervisor{Addr: "somewhere"}})
	}
	code, err := l.wait(t.Context())
	lost := (*lostError)(nil)
	if !errors.As(err, &lost) || lost.node != 2 || !strings.HasPrefix(err.Error(), "node 2 (c) is lost: ") || code != exitOwn {
		t.Errorf("one has said nothing: code %d, %v", code, err)
	}
	expired <- time.Time{}
	l.handle(packet{from: l.nodes[2], msg: fromSupervisor{Addr: "somewhere"}})
	l.packets <- packet{from: l.nodes[0], msg: fromSupervisor{Ended: true, Code: 3}}
	if code, err := l.wait(t.Context()); code != 3 || err != nil {
		t.Errorf("all have said where they are: code %d, %v", code, err)
	}
}

// deaf is a post that nobody answers.
type deaf struct{ post }

func (deaf) send(fromRun)    {}
func (deaf) elsewhere() bool { return true }

// TestAbsent: who waits for a node in vain says which, and that it is lost.
func TestAbsent(t *testing.T) {
	spec := Spec{Nodes: 2, Hosts: []Host{{Name: "a"}, {Name: "b"}}}
	listener, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s := &supervisor{cfg: config{Spec: spec}, links: newLinks(wire.Hello{})}
	for who, err := range map[string]error{
		"run":        newLauncher(spec).expectDeputies(over, listener, wire.Hello{}),
		"supervisor": s.acceptPeers(over, listener),
	} {
		lost := (*lostError)(nil)
		if !errors.As(err, &lost) || lost.node != 1 || !strings.HasPrefix(err.Error(), "wait for node 1 (b): ") {
			t.Errorf("%s: %v", who, err)
		}
	}
}
