package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"popcorn/internal/trust"
)

const (
	// patience is how many beats a member may miss before it is called silent.
	patience = 4
	// keepLeft is how long a member that left is still listed.
	keepLeft = 24 * time.Hour
	// maxMembers bounds the list; nodes are numbered in a word elsewhere.
	maxMembers = 1024
)

// registry is the membership at the founding node.
type registry struct {
	dir  trust.Dir
	beat time.Duration

	mu      sync.Mutex
	self    Member
	members map[string]*seat
}

// seat is one member and when it last announced itself.
type seat struct {
	Member
	heard time.Time
}

// openRegistry starts from the list in dir. Members have their patience to be
// heard of again.
func openRegistry(dir trust.Dir, beat time.Duration, self Member) (*registry, error) {
	r := &registry{dir: dir, beat: beat, self: self, members: map[string]*seat{}}
	var known []Member
	if err := dir.ReadJSON(membersFile, &known); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, m := range known {
		r.members[m.Name] = &seat{m, time.Now()}
	}
	return r, nil
}

// List implements membership.
func (r *registry) List() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Member{r.self}
	for _, s := range r.members {
		out = append(out, s.judged(time.Now(), r.beat))
	}
	sortMembers(out)
	return out
}

func sortMembers(ms []Member) {
	slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}

// judged is the member with the state it has now.
func (s *seat) judged(now time.Time, beat time.Duration) Member {
	m := s.Member
	if m.State.lives() && now.Sub(s.heard) > patience*beat {
		m.State, m.Since = Silent, s.heard
	}
	return m
}

// run implements membership: members come by themselves.
func (r *registry) run(ctx context.Context) { <-ctx.Done() }

// become implements membership.
func (r *registry) become(s State, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self.State, r.self.Since = s, since
}

// admit gives a name to a new member, unless somebody has it.
func (r *registry) admit(m Member) error {
	return r.change(func() error {
		if old := r.members[m.Name]; m.Name == r.self.Name || old != nil && old.State != Left {
			return fmt.Errorf("name %s: another node of this cluster has it (join with another --name, or remove that one with "+
				"\"popcorn node leave %[1]s\"): %w", m.Name, ErrRefused)
		}
		if len(r.members) >= maxMembers {
			return fmt.Errorf("join: a cluster has at most %d nodes: %w", maxMembers, ErrRefused)
		}
		m.State, m.Since = Silent, time.Now() // until its daemon runs
		r.members[m.Name] = &seat{m, time.Now()}
		return nil
	})
}

// heard notes that a member lives. It only writes the list when that changed.
func (r *registry) heard(m Member) error {
	r.mu.Lock()
	s := r.members[m.Name]
	if s != nil && s.State.lives() && s.same(m) {
		if now := time.Now(); now.Sub(s.heard) > patience*r.beat {
			s.Since = now
		}
		s.heard = time.Now()
		r.mu.Unlock()
		return nil
	}
	r.mu.Unlock()
	return r.change(func() error {
		// It was let in before it was removed and is heard after.
		if s := r.members[m.Name]; s != nil && s.State == Left {
			return fmt.Errorf("node %s was removed from the cluster: %w", m.Name, ErrRefused)
		}
		m.Since = time.Now()
		r.members[m.Name] = &seat{m, time.Now()}
		return nil
	})
}

// same tells whether a member says of itself what it said before.
func (s *seat) same(m Member) bool {
	m.Since = s.Since
	return m == s.Member
}

// leave marks a member as gone.
func (r *registry) leave(name string) error {
	return r.change(func() error {
		s := r.members[name]
		if s == nil || s.State == Left {
			return fmt.Errorf("node %s: %w in this cluster; popcorn node ls lists them", name, ErrNoSuchNode)
		}
		s.State, s.Since = Left, time.Now()
		return nil
	})
}

// change does something to the members and writes the list.
func (r *registry) change(do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	maps.DeleteFunc(r.members, func(_ string, s *seat) bool { return s.State == Left && time.Since(s.Since) > keepLeft })
	known := []Member{}
	for _, s := range r.members {
		known = append(known, s.Member)
	}
	sortMembers(known)
	return r.dir.WriteJSON(membersFile, known)
}

// findMember finds a member that has not left.
func findMember(ms []Member, name string) (Member, error) {
	for _, m := range ms {
		if m.Name == name && m.State != Left {
			return m, nil
		}
	}
	return Member{}, fmt.Errorf("node %s: %w in this cluster; popcorn node ls lists them", name, ErrNoSuchNode)
}
