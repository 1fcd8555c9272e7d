package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// pushPull begins an exchange of everything in memberlist's protocol: pushPullMsg
// in its net.go, as are the two structures that follow it.
const pushPull = 6

type pushPullHeader struct {
	Nodes        int
	UserStateLen int
	Join         bool
}

type pushNodeState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       memberlist.NodeStateType
	Vsn         []uint8
}

// peekPatience bounds the asking of our own memberlist.
const peekPatience = 5 * time.Second

// states is what gossip holds of each node; nil while it is off. Memberlist tells
// its callers of those who live and of those who do not, but not of whom it
// suspects; it does tell its peers. So we ask as one who knows nothing.
func (g *gossip) states() map[string]State {
	t := g.current()
	if t == nil {
		return nil
	}
	here, there := net.Pipe()
	defer here.Close()
	if !t.road.handOver(there) {
		return nil
	}
	out, err := ask(here)
	if err != nil {
		g.log.Warn("no word of who lives", "err", err)
	}
	return out
}

func ask(c net.Conn) (map[string]State, error) {
	if err := c.SetDeadline(time.Now().Add(peekPatience)); err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{pushPull}); err != nil {
		return nil, err
	}
	if err := codec.NewEncoder(c, &codec.MsgpackHandle{}).Encode(pushPullHeader{}); err != nil {
		return nil, err
	}
	r := bufio.NewReader(c)
	defer io.Copy(io.Discard, r) // or it complains of us
	if kind, err := r.ReadByte(); err != nil || kind != pushPull {
		return nil, fmt.Errorf("ask memberlist: answer %d, %w", kind, err)
	}
	return readStates(codec.NewDecoder(r, &codec.MsgpackHandle{}))
}

func readStates(d *codec.Decoder) (map[string]State, error) {
	var h pushPullHeader
	if err := d.Decode(&h); err != nil {
		return nil, fmt.Errorf("ask memberlist: %w", err)
	}
	out := map[string]State{}
	for range h.Nodes {
		var n pushNodeState
		if err := d.Decode(&n); err != nil {
			return nil, fmt.Errorf("ask memberlist: %w", err)
		}
		out[n.Name] = seenAs[n.State]
	}
	return out, nil
}

var seenAs = map[memberlist.NodeStateType]State{memberlist.StateAlive: Alive, memberlist.StateSuspect: Suspect,
	memberlist.StateDead: Unreachable, memberlist.StateLeft: Unreachable}
