package node

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// What changes reaches members also while the founding node is down, and a node
// that was not there hears of it when it comes back.
func TestNewsWithoutTheFounder(t *testing.T) {
	hosts := cluster(t, 4)
	a, b, c, d := hosts[0], hosts[1], hosts[2], hosts[3]
	c.until("a=alive b=alive c=alive d=alive")
	b.until("a=alive b=alive c=alive d=alive")
	d.stop()
	check(t, a.client.Leave(t.Context(), "d"))
	b.until("a=alive b=alive c=alive d=left")
	c.stop()
	a.stop()
	b.drain("b")
	c.start()
	c.until("a=unreachable b=draining c=alive d=left")
	wantErr(t, c.client.StartDeputy(t.Context(), "d", "", nil), ErrNoSuchNode)
	_, err := c.client.Label(t.Context(), "b", map[string]string{"rack": "7"}, nil)
	check(t, err)
	b.undrain("b")
	c.until("a=unreachable b=alive c=alive d=left")
	c.untilMember("b", func(m Member) bool { return m.Labels["rack"] == "7" })
}

// Without gossip members know what the founding node tells them.
func TestNoGossip(t *testing.T) {
	off := false
	a := newHost(t, "a")
	a.cfg.Gossip = &off
	a.start()
	b, c := newHost(t, "b"), newHost(t, "c")
	b.join(a)
	c.join(a)
	for _, h := range []*host{a, b, c} {
		h.until("a=alive b=alive c=alive")
		if h.daemon.members.gossip.current() != nil {
			t.Errorf("node %s gossips", h.cfg.Name)
		}
	}
	b.drain("c")
	a.until("a=alive b=alive c=draining")
	b.until("a=alive b=alive c=draining")
	b.stop()
	c.until("a=alive b=unreachable c=draining")
	check(t, a.client.Leave(t.Context(), "b"))
	c.until("a=alive b=left c=draining")
	addr := a.daemon.Self().Address
	a.stop()
	c.until("a=unreachable b=left c=draining")
	a.cfg.Gossip, a.cfg.Listen = nil, addr
	a.start()
	a.until("a=alive b=left c=draining")
	c.until("a=alive b=left c=draining")
	if c.daemon.members.gossip.current() == nil {
		t.Error("node c does not gossip, though its cluster does now")
	}
}

// Gossip is for nodes of the cluster.
func TestStrangersDoNotGossip(t *testing.T) {
	hosts := cluster(t, 3)
	a, b, c := hosts[0], hosts[1], hosts[2]
	other := newHost(t, "a")
	other.start()
	foreign := other.daemon.id.ClientConfig("a")
	foreign.VerifyConnection = nil
	for name, cfg := range map[string]*tls.Config{"no certificate": {InsecureSkipVerify: true}, "another cluster's": foreign} {
		cfg.NextProtos = []string{exchangeKind}
		conn, err := tls.Dial("tcp", a.daemon.Self().Address, cfg)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if states, err := ask(conn); err == nil {
			t.Errorf("%s: was told %v", name, states)
		}
		conn.Close()
	}
	a.until("a=alive b=alive c=alive")
	road := c.daemon.members.gossip.current().road
	conn, err := road.dial(t.Context(), "b", exchangeKind)
	check(t, err)
	states, err := ask(conn)
	check(t, err)
	if states["a"] != Alive {
		t.Errorf("b holds of others %v", states)
	}
	conn.Close()
	check(t, a.client.Leave(t.Context(), "c"))
	b.until("a=alive b=alive c=left")
	if conn, err = road.dial(t.Context(), "b", exchangeKind); err == nil { // a client of TLS 1.3 hears of it when it reads
		_, err = ask(conn)
		conn.Close()
	}
	if err == nil {
		t.Error("a node that was removed still gossips")
	}
	a.stop()
	a.wantAudit(exchangeKind, "a stranger", "", "refused", "no certificate")
}

// Whoever memberlist suspects is called so.
func TestStatesOfMemberlist(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		there.Read(make([]byte, 1))
		codec.NewDecoder(there, &codec.MsgpackHandle{}).Decode(&pushPullHeader{})
		there.Write([]byte{pushPull})
		e := codec.NewEncoder(there, &codec.MsgpackHandle{})
		e.Encode(pushPullHeader{Nodes: 2})
		e.Encode(pushNodeState{Name: "a", State: memberlist.StateSuspect})
		e.Encode(pushNodeState{Name: "b", State: memberlist.StateDead})
	}()
	got, err := ask(here)
	check(t, err)
	if got["a"] != Suspect || got["b"] != Unreachable {
		t.Errorf("states %v", got)
	}
}

// A node that was removed while it did not run says goodbye like any other: it knows
// itself, whatever the roster says.
func TestRemovedNodeKnowsItself(t *testing.T) {
	hosts := cluster(t, 3)
	a, b := hosts[0], hosts[1]
	b.until("a=alive b=alive c=alive")
	e := &ear{m: b.daemon.members, name: "b", unknown: map[string]bool{}}
	check(t, a.client.Leave(t.Context(), "c"))
	b.until("a=alive b=alive c=left")
	if e.NotifyAlive(&memberlist.Node{Name: "c"}) == nil {
		t.Error("one that has left is believed to live")
	}
	e.name = "c" // as that one sees it
	if err := e.NotifyAlive(&memberlist.Node{Name: "c"}); err != nil {
		t.Error(err)
	}
}
