package node

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"popcorn/internal/node/api"
	"popcorn/internal/trust"
)

// directory is what this node knows of its cluster and could prove to others: the
// authority's roster and what each node says of itself. It takes in nothing
// without its signature, whoever brings it; of two, the one with the greater
// number. Whether a node lives is no knowledge but an opinion: see views.
type directory struct {
	dir trust.Dir
	id  *trust.Node

	taking sync.Mutex // held while a roster is judged: they take effect in their order
	mu     sync.Mutex
	signed *api.SignedRoster // nil until one was heard of
	roster *api.Roster
	said   map[string]saying
	dirty  bool // something in it is not on disk
}

// saying is the last word of a node on itself.
type saying struct {
	signed *api.SignedStatement
	member Member
	number uint64
}

func openDirectory(dir trust.Dir, id *trust.Node) (*directory, error) {
	d := &directory{dir: dir, id: id, roster: &api.Roster{}, said: map[string]saying{}}
	text, err := dir.Read(knownFile)
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	var known api.Known
	if err == nil {
		err = proto.Unmarshal(text, &known)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir.Path(knownFile), err)
	}
	// What has expired since is left out: it is heard of again.
	_, err = d.take(&known)
	if known.Roster != nil && d.signed == nil {
		return nil, fmt.Errorf("read %s: %w", dir.Path(knownFile), err)
	}
	d.dirty = false
	return d, nil
}

// save writes down what is not on disk.
func (d *directory) save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dirty {
		return nil
	}
	text, err := proto.Marshal(d.knownLocked())
	if err != nil {
		return fmt.Errorf("encode list of members: %w", err)
	}
	if err := d.dir.Write(knownFile, text); err != nil {
		return err
	}
	d.dirty = false
	return nil
}

// take takes in what another tells and returns what of it was new. The error is of
// what was not believed; the rest is taken in.
func (d *directory) take(known *api.Known) (news *api.Known, err error) {
	news = &api.Known{}
	fresh, err := d.takeRoster(known.GetRoster())
	errs := []error{err}
	if fresh {
		news.Roster = known.Roster
	}
	for _, s := range known.GetStatements() {
		fresh, err := d.takeStatement(s)
		if fresh {
			news.Statements = append(news.Statements, s)
		}
		errs = append(errs, err)
	}
	return news, errors.Join(errs...)
}

func (d *directory) takeRoster(s *api.SignedRoster) (fresh bool, err error) {
	var r api.Roster
	if err := proto.Unmarshal(s.GetRoster(), &r); err != nil {
		return false, fmt.Errorf("read roster: %w: %w", ErrMalformed, err)
	}
	d.taking.Lock()
	defer d.taking.Unlock()
	if s == nil || r.Number <= d.rosterNumber() {
		return false, nil
	}
	if err := d.id.VerifyAuthority(trust.Rosters, s.Roster, s.Signature); err != nil {
		return false, err
	}
	// First who is not believed any more, then who is in.
	if err := d.id.SetRevoked(r.Revoked); err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signed, d.roster, d.dirty = s, &r, true
	for _, seat := range r.Seats {
		if seat.Left {
			delete(d.said, seat.Name)
		}
	}
	return true, nil
}

// takeStatement believes the node whose certificate comes along, of itself.
func (d *directory) takeStatement(s *api.SignedStatement) (fresh bool, err error) {
	var st api.Statement
	if err := proto.Unmarshal(s.GetStatement(), &st); err != nil {
		return false, fmt.Errorf("read statement: %w: %w", ErrMalformed, err)
	}
	name := st.Self.GetName()
	if !d.wants(name, st.Number) {
		return false, nil
	}
	id, err := d.id.VerifySigned(trust.Statements, s.Statement, s.Signature, s.Certificate)
	if err != nil {
		return false, fmt.Errorf("statement of node %s: %w", name, err)
	}
	m, err := announced(st.Self, id.Node)
	if err != nil {
		return false, err
	}
	m.Founder = id.Authority
	d.mu.Lock()
	defer d.mu.Unlock()
	if id.Node != name || d.said[name].number >= st.Number {
		return false, nil
	}
	d.dirty = d.dirty || !sameButFree(d.said[name].member, m)
	d.said[name] = saying{s, m, st.Number}
	return true, nil
}

// wants tells whether a statement of that number would be news: what is known is
// not verified again.
func (d *directory) wants(name string, number uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, known := d.said[name]
	return name != "" && number > old.number && (known || len(d.said) < 2*maxMembers)
}

// sameButFree tells whether two descriptions differ in nothing to remember.
func sameButFree(a, b Member) bool {
	return a.Address == b.Address && a.State == b.State && a.Arch == b.Arch && a.Kernel == b.Kernel && a.CPUs == b.CPUs &&
		a.Memory == b.Memory && a.Version == b.Version && a.Limits == b.Limits && a.Each == b.Each &&
		maps.Equal(a.Labels, b.Labels)
}

// known is all that can be proved.
func (d *directory) known() *api.Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.knownLocked()
}

func (d *directory) knownLocked() *api.Known {
	k := &api.Known{Roster: d.signed}
	for _, s := range d.said {
		k.Statements = append(k.Statements, s.signed)
	}
	return k
}

// newsFor is what of it is news for somebody who knows the roster and statements
// of these numbers.
func (d *directory) newsFor(roster uint64, statements map[string]uint64) *api.Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := &api.Known{}
	if d.roster.Number > roster {
		k.Roster = d.signed
	}
	for name, s := range d.said {
		if s.number > statements[name] {
			k.Statements = append(k.Statements, s.signed)
		}
	}
	return k
}

// numbers are those of what is known, to be told newsFor.
func (d *directory) numbers() (roster uint64, statements map[string]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	statements = map[string]uint64{}
	for name, s := range d.said {
		statements[name] = s.number
	}
	return d.roster.Number, statements
}

func (d *directory) rosterNumber() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.roster.Number
}

// current is a copy of the roster.
func (d *directory) current() *api.Roster {
	d.mu.Lock()
	defer d.mu.Unlock()
	return proto.CloneOf(d.roster)
}

// size is how many seats the roster has.
func (d *directory) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.roster.Seats)
}

// rosterKnown tells whether the authority was ever heard.
func (d *directory) rosterKnown() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.signed != nil
}

// gossips tells whether members of this cluster do, as far as is known.
func (d *directory) gossips() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.signed != nil && !d.roster.GossipOff
}

// has tells whether the roster has a node, and whether it has left.
func (d *directory) has(name string) (in, left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seat := seatOf(d.roster, name)
	return seat != nil, seat.GetLeft()
}

// members describes everybody on the roster. The state is the one a node has if it
// lives.
func (d *directory) members() []Member {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Member, 0, len(d.roster.Seats))
	for _, seat := range d.roster.Seats {
		out = append(out, d.describe(seat))
	}
	return out
}

// describe is called with d locked.
func (d *directory) describe(seat *api.Seat) Member {
	since := time.Unix(seat.Since, 0)
	m := Member{Name: seat.Name, Address: seat.Address, State: Unreachable, Since: since, Founder: seat.Founder}
	if s, ok := d.said[seat.Name]; ok {
		m = s.member
		m.Labels = maps.Clone(m.Labels)
	}
	if seat.Left {
		m.State, m.Since = Left, since
	}
	return m
}

// address is where a node that has not left is found.
func (d *directory) address(name string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seat := seatOf(d.roster, name)
	s, ok := d.said[name]
	switch {
	case seat.GetLeft():
	case ok:
		return s.member.Address, nil
	case seat != nil:
		return seat.Address, nil
	}
	return "", fmt.Errorf("node %s: %w in this cluster", name, ErrNoSuchNode)
}

func seatOf(r *api.Roster, name string) *api.Seat {
	i := slices.IndexFunc(r.Seats, func(s *api.Seat) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return r.Seats[i]
}
