package node

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// registry makes the rosters, at the node that holds the authority.
type registry struct {
	auth *trust.Authority
	m    *membership
	mu   sync.Mutex
}

// openRegistry makes the roster this life of the daemon begins with: the last one,
// as far as it still holds.
func openRegistry(auth *trust.Authority, m *membership, gossipOff bool) (*registry, error) {
	r := &registry{auth: auth, m: m}
	return r, r.change(func(next *api.Roster) error {
		next.GossipOff = gossipOff
		if seatOf(next, m.own().Name) == nil {
			return r.begin(next)
		}
		return nil
	})
}

// begin makes the first roster; one of an older version of popcorn may be there.
func (r *registry) begin(next *api.Roster) error {
	var old []Member
	if err := r.m.directory.dir.ReadJSON(membersFile, &old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	self := r.m.own()
	next.Seats = []*api.Seat{{Name: self.Name, Address: self.Address, Founder: true, Since: time.Now().Unix()}}
	for _, o := range old {
		next.Seats = append(next.Seats, &api.Seat{Name: o.Name, Address: o.Address, Left: o.State == Left, Since: o.Since.Unix()})
	}
	return nil
}

// admit gives a name to a new member, unless somebody has it.
func (r *registry) admit(m Member) error {
	return r.change(func(next *api.Roster) error {
		if old := seatOf(next, m.Name); old != nil && !old.Left {
			return fmt.Errorf("name %s: another node of this cluster has it (join with another --name, or remove that one with "+
				"\"popcorn node leave %[1]s\"): %w", m.Name, ErrRefused)
		}
		next.Seats = slices.DeleteFunc(next.Seats, func(s *api.Seat) bool { return s.Name == m.Name })
		if len(next.Seats) >= maxMembers {
			return fmt.Errorf("join: a cluster has at most %d nodes: %w", maxMembers, ErrRefused)
		}
		next.Seats = append(next.Seats, &api.Seat{Name: m.Name, Address: m.Address, Since: time.Now().Unix()})
		return nil
	})
}

// leave marks a member as gone.
func (r *registry) leave(name string) error {
	return r.change(func(next *api.Roster) error {
		s := seatOf(next, name)
		if s == nil || s.Left {
			return fmt.Errorf("node %s: %w in this cluster; popcorn node ls lists them", name, ErrNoSuchNode)
		}
		s.Left, s.Since = true, time.Now().Unix()
		return nil
	})
}

// change makes the next roster, if it differs from the last, and writes it down
// before anybody hears of it. Its number is the time, so that an authority that
// was put back from a copy is heard all the same.
func (r *registry) change(do func(*api.Roster) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.m.current()
	next := proto.CloneOf(last)
	if err := do(next); err != nil {
		return err
	}
	next.Revoked = slices.Sorted(slices.Values(r.auth.Revoked()))
	next.Seats = slices.DeleteFunc(next.Seats, func(s *api.Seat) bool { return s.Left && time.Since(time.Unix(s.Since, 0)) > keepLeft })
	if proto.Equal(last, next) {
		return nil
	}
	next.Number = max(last.Number+1, uint64(time.Now().UnixNano()))
	signed, err := r.sign(next)
	if err == nil {
		err = r.m.learn(&api.Known{Roster: signed})
	}
	if err != nil {
		return err
	}
	return r.m.save()
}

func (r *registry) sign(roster *api.Roster) (*api.SignedRoster, error) {
	text, err := proto.Marshal(roster)
	if err != nil {
		return nil, fmt.Errorf("encode roster: %w", err)
	}
	sig, err := r.auth.Sign(trust.Rosters, text)
	return &api.SignedRoster{Roster: text, Signature: sig}, err
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
