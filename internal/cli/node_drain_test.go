package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"popcorn/internal/node"
)

// shrinking is a node that has so many programs left, one word after another;
// below 0 it is not being emptied any more. The last word stays.
type shrinking struct {
	left  []int
	err   error
	asked int
}

func (s *shrinking) Drain(ctx context.Context, name string) (node.Drained, error) {
	if s.asked > 0 {
		return node.Drained{}, errors.New("asked to begin twice")
	}
	return s.Drained(ctx, name)
}

func (s *shrinking) Drained(ctx context.Context, _ string) (node.Drained, error) {
	n := s.left[min(s.asked, len(s.left)-1)]
	s.asked++
	return node.Drained{Left: max(n, 0), Draining: n >= 0}, errors.Join(s.err, ctx.Err())
}

func TestDrainWaits(t *testing.T) {
	for name, c := range map[string]struct {
		left   []int
		err    error
		detach bool
		limit  time.Duration // of the run
		cut    time.Duration // ^C
		code   int
		say    string
		shown  string
		asked  int
	}{
		"nothing there": {left: []int{0}, asked: 1},
		"until none":    {left: []int{3, 3, 1, 0}, shown: "3 programs left|3 programs left|1 program left", asked: 4},
		"too long": {left: []int{3, 2}, limit: 1200 * time.Millisecond, code: 1, say: "2 programs are still there; the node stays draining",
			shown: "3 programs left|2 programs left|2 programs left", asked: 3},
		"one stays":   {left: []int{1}, limit: time.Millisecond, code: 1, say: "1 program is still there; the node stays draining", shown: "1 program left", asked: 1},
		"interrupted": {left: []int{2}, cut: 10 * time.Millisecond, code: 1, say: "interrupted: 2 programs are still there; the node stays draining", shown: "2 programs left", asked: 1},
		"detached":    {left: []int{2}, detach: true, asked: 1},
		"undone":      {left: []int{2, -1}, code: 1, say: "somebody has undone it", shown: "2 programs left", asked: 2},
		"refused":     {left: []int{2}, err: node.ErrRefused, code: 5, asked: 1},
		"unreachable": {left: []int{2}, err: node.ErrUnreachable, code: 4, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cut > 0 {
					time.AfterFunc(c.cut, cancel)
				}
				s, shown := &shrinking{left: c.left, err: c.err}, []string{}
				d := draining{drainer: s, name: "b", timeout: c.limit, detach: c.detach, beat: drainBeat, show: func(s string) { shown = append(shown, s) }}
				err := d.run(ctx)
				if codeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.say) || s.asked != c.asked {
					t.Errorf("%v, exit code %d, asked %d times", err, codeOf(err), s.asked)
				}
				if n := len(shown); n > 0 && shown[n-1] != "" {
					t.Error("the line of progress stays")
				}
				if got := strings.Join(slices.DeleteFunc(shown, func(s string) bool { return s == "" }), "|"); got != c.shown {
					t.Errorf("shown %q, want %q", got, c.shown)
				}
			})
		})
	}
}
