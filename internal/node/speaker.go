package node

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"popcorn/internal/node/api"
	"popcorn/internal/sys"
	"popcorn/internal/trust"
)

// speaker makes this node's statements on itself.
type speaker struct {
	dir trust.Dir
	id  *trust.Node

	mu     sync.Mutex
	self   Member
	number uint64
	signed *api.SignedStatement // the last one
}

func newSpeaker(dir trust.Dir, id *trust.Node, self Member) (*speaker, error) {
	err := dir.ReadJSON(labelsFile, &self.Labels)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	return &speaker{dir: dir, id: id, self: self}, nil
}

// own is this node as it is now.
func (s *speaker) own() Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.self
	m.Labels = maps.Clone(m.Labels)
	return m
}

// say signs what this node is. Numbers go on growing after a restart, and after a
// clock that was set back while the daemon ran.
func (s *speaker) say() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number = max(s.number+1, uint64(time.Now().UnixNano()))
	text, err := proto.Marshal(&api.Statement{Self: s.self.toWire(), Number: s.number})
	if err != nil {
		return fmt.Errorf("encode statement: %w", err)
	}
	sig, cert, err := s.id.Sign(trust.Statements, text)
	if err == nil {
		s.signed = &api.SignedStatement{Statement: text, Signature: sig, Certificate: cert}
	}
	return err
}

// last is what say has signed.
func (s *speaker) last() *api.SignedStatement {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed
}

// become changes the state of this node.
func (s *speaker) become(state State, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.self.State, s.self.Since = state, since
}

// noticeable is the part of a host's memory whose coming or going is worth
// telling everybody.
const noticeable = 32

// measure looks at this host again and tells whether there is something to say.
func (s *speaker) measure() bool {
	free := sys.MemoryAvailable()
	s.mu.Lock()
	defer s.mu.Unlock()
	by := max(free, s.self.Free) - min(free, s.self.Free)
	if by*noticeable < s.self.Memory {
		return false
	}
	s.self.Free = free
	return true
}
