package job

import (
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"popcorn/internal/sys"
)

func packetPair(t *testing.T) (a, b int) {
	t.Helper()
	a, b, err := sys.Socketpair(sys.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(b) })
	return a, b
}

// TestPackets: packets keep their bounds, their order and their descriptors; the
// end of the other side comes after all it has said.
func TestPackets(t *testing.T) {
	a, b := packetPair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	said := []fromSupervisor{{Addr: "127.0.0.1:1"}, {Keep: true}, {Errno: 2, Error: "gone"}, {Ended: true, Code: 137}}
	for _, m := range said {
		var fds []int
		if m.Keep {
			fds = []int{int(w.Fd())}
		}
		if err := sendPacket(a, m, fds...); err != nil {
			t.Fatal(err)
		}
	}
	sys.Close(a)
	w.Close()
	for _, want := range said {
		var got fromSupervisor
		fds, err := recvPacket(b, &got)
		if err != nil || !reflect.DeepEqual(got, want) || (len(fds) == 1) != want.Keep {
			t.Fatalf("got %+v with %v, %v; want %+v", got, fds, err, want)
		}
		for _, fd := range fds {
			if _, err := sys.Write(fd, []byte("kept")); err != nil {
				t.Errorf("use kept descriptor: %v", err)
			}
			sys.Close(fd)
		}
	}
	if _, err := recvPacket(b, &fromSupervisor{}); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// TestPacketNonsense: what is no packet is an error, not a packet.
func TestPacketNonsense(t *testing.T) {
	a, b := packetPair(t)
	defer sys.Close(a)
	if err := sys.SendFDs(a, []byte(`{"addr":`)); err != nil {
		t.Fatal(err)
	}
	if _, err := recvPacket(b, &fromSupervisor{}); err == nil {
		t.Error("half a document was taken for one")
	}
}

// TestLostSupervisor: of supervisors that end, the one that has a reason to tell
// is believed: home, not a remote that left because home was gone.
func TestLostSupervisor(t *testing.T) {
	crash, err := sys.Memfd("crash", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(crash)
	home := &child{post: &local{nid: 0, pid: 1, crash: crash}}
	remote := &child{post: &local{nid: 1, pid: 2, crash: crash}, nid: 1}
	l := &launcher{nodes: []*child{home, remote}}
	for i, step := range []struct {
		p    packet
		over bool
		code int
	}{
		{packet{from: home, msg: fromSupervisor{PID: 77}}, false, 0},
		{packet{from: remote, msg: fromSupervisor{Left: true}}, false, 0},
		{packet{from: remote, err: io.EOF}, false, 0},
		{packet{from: home, msg: fromSupervisor{Error: "why"}}, true, exitOwn},
		{packet{from: home, err: io.EOF}, true, exitOwn},
		{packet{from: home, msg: fromSupervisor{Ended: true, Code: 3}}, true, 3},
		{packet{from: home, msg: fromSupervisor{Errno: int(sys.ENOENT), Error: "no"}}, true, 127},
		{packet{from: home, msg: fromSupervisor{Errno: int(sys.EACCES), Error: "no"}}, true, 126},
	} {
		code, err, over := l.handle(step.p)
		if over != step.over || code != step.code || (err != nil) != (over && step.code != 3) {
			t.Errorf("step %d: code %d, over %v, %v; want %d, %v", i, code, over, err, step.code, step.over)
		}
	}
	if l.guest != 77 {
		t.Errorf("guest %d, want 77", l.guest)
	}
}
