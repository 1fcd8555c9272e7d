package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/wire"
)

// talk is what popcorn run and deputies on other hosts tell each other: JSON
// documents over links, in a goroutine of its own. Nobody judges by silence here: run
// may be stopped for hours, and supervisors notice when a host is lost.
type talk struct {
	*links
	over chan struct{} // closed when the loop has ended
}

// errHungUp ends a conversation from our side.
var errHungUp = errors.New("hung up")

// newTalk makes one over connections that its caller adds with the rest of the links,
// and starts.
func newTalk(me wire.Hello) (*talk, error) {
	loop, err := newLoop()
	if err != nil {
		return nil, err
	}
	idle := func() {}
	loop.signalled, loop.before, loop.each, loop.deadline = idle, idle, idle, noDeadline
	t := &talk{links: newLinks(me), over: make(chan struct{})}
	t.loop = loop
	return t, nil
}

// start begins the conversation. hear is told what node n says, nil when it will say
// nothing more; it must not wait for long.
func (t *talk) start(hear func(n coherence.NodeID, text []byte, err error)) error {
	t.frame = func(n coherence.NodeID, h wire.Header, text []byte) error {
		if h.Type != wire.TWord || len(text) > maxPacket {
			return errProtocol
		}
		hear(n, bytes.Clone(text), nil)
		return nil
	}
	t.gone = func(n coherence.NodeID, why error) { hear(n, nil, why) }
	if err := t.watchAll(); err != nil {
		return err
	}
	go func() {
		defer close(t.over)
		if err := t.loop.run(); err != nil {
			for n := range t.peers {
				t.giveUp(n, err)
			}
		}
	}()
	return nil
}

// say tells node n something, now or when there is a connection again.
func (t *talk) say(n int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		return // nothing we say is like that
	}
	t.loop.post(func() { t.transmit(coherence.NodeID(n), wire.Header{Type: wire.TWord}, text) })
}

// hangUp ends the conversation with node n.
func (t *talk) hangUp(n int) { t.loop.post(func() { t.giveUp(coherence.NodeID(n), errHungUp) }) }

// close says goodbye to all and waits until nothing more is heard.
func (t *talk) close() {
	t.loop.post(func() {
		for n, c := range t.peers {
			c.Flush()
			t.giveUp(n, errHungUp)
		}
		t.loop.stop()
	})
	<-t.over
	t.closeAll()
	t.loop.close()
}

func noDeadline() (time.Duration, bool) { return 0, false }

// decodeWord reads what was heard.
func decodeWord(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("decode word: %w", err)
	}
	return nil
}
