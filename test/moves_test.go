package test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// movesGuests are moved from outside; what is asked to move is one thread, or
// for "whole" the job.
var movesGuests = []struct {
	name  string
	whole bool
}{
	{name: "moves_compute"}, {name: "moves_read"}, {name: "moves_write"}, {name: "moves_futex"}, {name: "moves_nanosleep"},
	{name: "moves_poll"}, {name: "moves_signals"}, {name: "moves_epoll"}, {name: "moves_events"}, {name: "moves_clock"}, {name: "moves_threads", whole: true},
}

// TestMovesNatively holds the guests alone.
func TestMovesNatively(t *testing.T) {
	for _, g := range movesGuests {
		t.Run(g.name, func(t *testing.T) {
			checkPromise(t, guestSource{}, run(t, command{path: guest(t, g.name), args: []string{"0.2"}}, native))
		})
	}
}

// moveEvery is the time between two moves, when moving is that fast.
const moveEvery = 5 * time.Millisecond

// Issue 2: timeouts are not stretched by more than stretchPerMove a move. What
// the machine itself adds to a timeout is not the moves' doing, and it may add much
// when it is loaded: a soak alone, on a machine of its own, decides.
const (
	stretchPerMove = 10.0 // ms
	stretchOfHost  = 200.0
)

// TestMoves moves a thread by `popcorn migrate` every 5 ms while it computes
// and while it sits in a system call: the output is right, nothing is restarted
// twice, and timeouts are not stretched.
func TestMoves(t *testing.T) {
	seconds := full("2", "60")
	for _, g := range movesGuests {
		for _, v := range []variant{
			{name: "two", nodes: 2, flags: []string{"--nodes", "2"}},
			{name: "three", nodes: 3, flags: []string{"--nodes", "3"}},
		} {
			t.Run(g.name+"/"+v.name, func(t *testing.T) {
				skipGap(t, g.name, v)
				c := command{path: guest(t, g.name), args: []string{seconds},
					deadline: full(40*time.Second, 4*time.Minute)}
				r := start(t, c, v)
				moves := r.moveAround(v.nodes, g.whole)
				o := r.wait()
				checkPromise(t, guestSource{}, o)
				over, err := strconv.ParseFloat(strings.TrimSpace(string(o.stderr)), 64)
				if err != nil {
					t.Fatalf("read overrun: %v", err)
				}
				t.Logf("%d moves, timeouts stretched by %.0f ms", moves, over)
				if moves == 0 {
					t.Error("nothing was moved")
				}
				if soak() > 0 && over > float64(moves)*stretchPerMove+stretchOfHost {
					t.Errorf("timeouts stretched by %.0f ms over %d moves", over, moves)
				}
			})
		}
	}
}

// moveAround moves the first thread, or the whole job, from node to node until
// the program ends or has had its time, and returns how often.
func (r *running) moveAround(nodes int, whole bool) int {
	r.t.Helper()
	first := r.parts().PID
	who := r.id
	if !whole {
		who = fmt.Sprintf("%s:%d", r.id, first)
	}
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	late := time.After(r.deadline - time.Since(r.started))
	moves := 0
	for {
		select {
		case <-r.done:
			return moves
		case <-late:
			return moves
		case <-tick.C:
		}
		node := (moves + 1) % nodes
		out, err := r.popcorn(30*time.Second, "migrate", who, strconv.Itoa(node))
		switch {
		case err == nil:
			moves++
		case r.over(): // it ended while we asked
			return moves
		default:
			r.t.Errorf("migrate %s %d, after %d moves: %v\n%s", who, node, moves, err, out)
			return moves
		}
	}
}

// over waits a little for a program that may be ending, and says whether it did.
func (r *running) over() bool {
	select {
	case <-r.done:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

// parts are the processes a job is made of, as `popcorn inspect` tells.
type parts struct {
	PID         int `json:"pid"`
	RunPID      int `json:"run_pid"`
	Supervisors []nodePID
	Stubs       []nodePID
	Threads     []threadAt
}

type threadAt struct{ Node int }

type nodePID struct{ NID, PID int }

// parts asks until the job answers: it needs a moment to exist.
func (r *running) parts() parts {
	r.t.Helper()
	return r.partsWhen(func(parts) bool { return true })
}

// partsWhen asks until the answer is what the test needs.
func (r *running) partsWhen(ready func(parts) bool) parts {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		out, err := r.popcorn(5*time.Second, "inspect", r.id)
		var p parts
		if err == nil {
			if err = json.Unmarshal(out, &p); err == nil && p.PID > 0 && ready(p) {
				return p
			}
		}
		if time.Now().After(end) {
			r.t.Fatalf("inspect %s: %v\n%s\n%s", r.id, err, out, r.threads())
		}
		select {
		case <-r.done:
			r.t.Fatalf("%s\nended before it could be inspected\n%s", filepath.Base(r.what), r.printed())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
