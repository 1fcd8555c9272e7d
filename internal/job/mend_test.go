package job

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// conversation is run (node 0) and a deputy (node 1) over loopback.
type conversation struct {
	t           *testing.T
	run, deputy *talk
	heard       [2]chan word // by each
}

// converseTest connects the two.
func converseTest(t *testing.T) *conversation {
	t.Helper()
	authority, err := wire.NewAuthority([16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	me := func(node uint16) wire.Hello {
		c, err := authority.Issue(node)
		if err != nil {
			t.Fatal(err)
		}
		return wire.Hello{Job: [16]byte{1}, Node: node, Secret: make([]byte, 32), Credentials: &c}
	}
	c := &conversation{t: t, heard: [2]chan word{make(chan word, 1000), make(chan word, 1000)}}
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.run, c.deputy = c.talk(me(0)), c.talk(me(1))
	accepted := make(chan *wire.Conn, 1)
	go func() {
		conn, _, _ := l.Accept(t.Context(), c.run.me)
		accepted <- conn
	}()
	conn, _, err := wire.Dial(t.Context(), l.Addr(), c.deputy.me)
	if err != nil {
		t.Fatal(err)
	}
	c.deputy.peers[0], c.run.peers[1] = conn, <-accepted
	c.run.listener, c.deputy.addrs[0] = l, l.Addr()
	c.run.dials = func(coherence.NodeID) bool { return false }
	c.deputy.dials = func(coherence.NodeID) bool { return true }
	for i, talk := range []*talk{c.run, c.deputy} {
		if err := talk.start(func(_ coherence.NodeID, text []byte, err error) { c.heard[i] <- word{text, err} }); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *conversation) talk(me wire.Hello) *talk {
	talk, err := newTalk(me)
	if err != nil {
		c.t.Fatal(err)
	}
	return talk
}

// next is what an end hears.
func (c *conversation) next(end int) word {
	c.t.Helper()
	select {
	case w := <-c.heard[end]:
		return w
	case <-time.After(20 * time.Second):
		c.t.Fatal("nothing is heard")
		return word{}
	}
}

// sever breaks the connection at one end, if there is one now.
func (t *talk) sever(n coherence.NodeID) {
	t.loop.post(func() {
		if c := t.peers[n]; c != nil && c.FD() >= 0 {
			sys.Shutdown(c.FD())
		}
	})
}

// TestTalkMends: over a connection that breaks again and again, at either end, every
// word arrives once and in order.
func TestTalkMends(t *testing.T) {
	c := converseTest(t)
	defer c.run.close()
	defer c.deputy.close()
	for i := range 40 {
		c.run.say(1, fmt.Sprint(i))
		c.deputy.say(0, fmt.Sprint(i))
		if i%2 == 0 {
			c.run.sever(1)
		} else {
			c.deputy.sever(0)
		}
		for end := range c.heard {
			var got string
			w := c.next(end)
			if w.err != nil || decodeWord(w.text, &got) != nil || got != fmt.Sprint(i) {
				t.Fatalf("end %d hears %q, %v for %d", end, w.text, w.err, i)
			}
		}
	}
}

// TestTalkEnds: a goodbye ends a conversation for the other too, also while it is
// broken: then nobody listens any more.
func TestTalkEnds(t *testing.T) {
	for name, broken := range map[string]bool{"at once": false, "while broken": true} {
		t.Run(name, func(t *testing.T) {
			c := converseTest(t)
			defer c.deputy.close()
			if broken {
				c.run.listener.Close()
				c.deputy.sever(0)
			} else {
				c.run.close()
			}
			w := c.next(1)
			if w.err == nil || broken && !strings.Contains(w.err.Error(), "no more") {
				t.Errorf("%q, %v", w.text, w.err)
			}
			if broken {
				c.run.close()
			}
		})
	}
}

// TestNobodyElseMends: a session is offered to the node it is with, by its id, and only
// by the end that was dialled.
func TestNobodyElseMends(t *testing.T) {
	c := converseTest(t)
	defer c.run.close()
	defer c.deputy.close()
	id := make(chan wire.SessionID, 1)
	c.run.loop.post(func() { id <- c.run.peers[1].Session() })
	mine := <-id
	other := mine
	other[0]++
	for i, offer := range []struct {
		by *talk
		n  coherence.NodeID
		id wire.SessionID
		ok bool
	}{{c.run, 2, mine, false}, {c.run, 1, other, false}, {c.run, 1, wire.SessionID{}, false}, {c.deputy, 0, mine, false}, {c.run, 1, mine, true}} {
		if _, ok := offer.by.offer(t.Context(), offer.n, offer.id); ok != offer.ok {
			t.Errorf("offer %d: %v", i, ok)
		}
	}
	c.run.say(1, "still there")
	if w := c.next(1); w.err != nil || string(w.text) != `"still there"` {
		t.Errorf("%q, %v", w.text, w.err)
	}
}

// TestPatienceEnds: a connection that stays broken is given up.
func TestPatienceEnds(t *testing.T) {
	c := converseTest(t)
	c.run.loop.post(func() {
		c.run.patience = 50 * time.Millisecond
		c.run.broke(1, errors.New("why"))
	})
	c.deputy.cancel() // its attempts fail
	w := c.next(0)
	if w.err == nil || !strings.Contains(w.err.Error(), "no connection for 50ms (why)") {
		t.Errorf("%v", w.err)
	}
	c.deputy.close()
	c.run.close()
}
