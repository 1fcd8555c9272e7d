package node

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"popcorn/internal/node/api"
)

const (
	// patience is how many beats a member that does not gossip may miss before it
	// is called unreachable.
	patience = 4
	// keepLeft is how long a member that left is still listed.
	keepLeft = 24 * time.Hour
	// maxMembers bounds the list; nodes are numbered in a word elsewhere.
	maxMembers = 1024
	// measureBeats is every how many beats memory is measured and the list of
	// members written down.
	measureBeats = 15
)

// membership is who is in the cluster: what is known of it, what is thought of it,
// and what this node says of itself.
type membership struct {
	*directory
	*speaker
	views    *views
	hint     Member // the founding node, for one that knows no roster yet
	gossip   *gossip
	follower *follower // nil at the founding node
	beat     time.Duration
	log      *slog.Logger
	news     chan struct{} // a roster, not to wait for the next beat
	seen     atomic.Int64  // when look was done, in nanoseconds since 1970
}

// List is sorted by name and holds this node too.
func (m *membership) List() []Member {
	self := m.own()
	out := []Member{self}
	all := m.members()
	if len(all) == 0 && m.hint.Name != "" {
		all = []Member{m.hint}
	}
	for _, one := range all {
		if one.Name != self.Name {
			out = append(out, m.judged(one))
		}
	}
	sortMembers(out)
	return out
}

// judged is a member with what is thought of it.
func (m *membership) judged(one Member) Member {
	w, ok := m.views.of(one.Name)
	switch {
	case one.State == Left:
	case !ok:
		one.State = Unreachable
	case w.state != Alive, one.State != Draining:
		one.State, one.Since = w.state, w.since
	}
	return one
}

func sortMembers(ms []Member) {
	slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}

// become changes the state of this node and tells others.
func (m *membership) become(s State, since time.Time) {
	m.speaker.become(s, since)
	m.tell()
}

// tell says anew what this node is.
func (m *membership) tell() {
	err := m.say()
	if err == nil {
		err = m.learn(&api.Known{Statements: []*api.SignedStatement{m.last()}})
	}
	if err != nil {
		m.log.Error("others are not told of this node's state", "err", err)
	}
	m.follower.nudge()
}

// learn takes in what somebody tells and passes on what was new.
func (m *membership) learn(known *api.Known) error {
	news, err := m.take(known)
	if news.Roster != nil || len(news.Statements) > 0 {
		m.gossip.spread(news)
		if news.Roster != nil {
			nudge(m.news)
			nudge(m.gossip.news)
		}
	}
	return err
}

// hear takes in what a node answered of itself, so that whoever has changed it sees
// that at once. What is not believed is heard of by gossip, or never.
func (m *membership) hear(s *api.SignedStatement) {
	if s == nil { // of an older version
		return
	}
	if err := m.learn(&api.Known{Statements: []*api.SignedStatement{s}}); err != nil {
		m.log.Warn("not believed what a node said of itself", "err", err)
	}
}

// settlePatience bounds settle: the founding node may be down.
const settlePatience = 2 * time.Second

// settle waits until others have heard that this node is there, as far as they can
// be reached: who is told that the daemon serves may use the node from anywhere.
func (m *membership) settle(ctx context.Context) {
	late := time.NewTimer(settlePatience)
	defer late.Stop()
	for _, done := range []<-chan struct{}{m.follower.called(), m.gossip.sought} {
		select {
		case <-done:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// run keeps the list up to date until ctx ends.
func (m *membership) run(ctx context.Context) {
	if m.follower != nil {
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			m.follower.run(ctx)
		}()
		defer func() { <-followed }()
	}
	tick := time.NewTicker(m.beat)
	defer tick.Stop()
	defer m.finish()
	for n := 1; ; n++ {
		m.look(ctx)
		if n%measureBeats == 0 {
			m.remember()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.news:
		}
	}
}

// nudge wakes who waits for news, if it is not awake.
func nudge(news chan struct{}) {
	select {
	case news <- struct{}{}:
	default:
	}
}

// looked is when look was done last.
func (m *membership) looked() time.Time { return time.Unix(0, m.seen.Load()) }

// look forms an opinion on everybody.
func (m *membership) look(ctx context.Context) {
	defer func() { m.seen.Store(time.Now().UnixNano()) }()
	if err := m.gossip.turn(ctx, m.gossips()); err != nil {
		m.log.Error("no gossip", "err", err)
	}
	if states := m.gossip.states(); states != nil {
		m.views.setAll(states, patience*m.beat)
	} else if m.follower == nil {
		m.views.judge(patience * m.beat)
	}
}

// remember is done now and then.
func (m *membership) remember() {
	if m.measure() {
		m.tell()
	}
	if err := m.save(); err != nil {
		m.log.Error("list of members not written", "err", err)
	}
}

func (m *membership) finish() {
	m.gossip.stop()
	if err := m.save(); err != nil {
		m.log.Error("list of members not written", "err", err)
	}
}
