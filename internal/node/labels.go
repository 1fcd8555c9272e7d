package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"

	"popcorn/internal/node/api"
)

// maxLabels bounds what a node may be called by.
const maxLabels = 32

var (
	labelKey   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9._:/@+-]{0,63}$`)
)

// checkLabels refuses what is no set of labels: what has no place in a table or
// on a command line.
func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return fmt.Errorf("%d labels: a node has at most %d: %w", len(labels), maxLabels, ErrMalformed)
	}
	for k, v := range labels {
		if !labelKey.MatchString(k) || !labelValue.MatchString(v) {
			return fmt.Errorf("label %q=%q: letters, digits and ._-/ make a key, these and :@+ a value, up to 63 of them: %w", k, v, ErrMalformed)
		}
	}
	return nil
}

// label changes this node's labels, writes them down and tells others.
func (m *membership) label(set map[string]string, unset []string) (map[string]string, error) {
	labels, err := m.relabel(set, unset)
	if err != nil {
		return nil, fmt.Errorf("label node: %w", err)
	}
	m.tell()
	return labels, nil
}

func (s *speaker) relabel(set map[string]string, unset []string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	labels := map[string]string{}
	maps.Copy(labels, s.self.Labels)
	for _, k := range unset {
		delete(labels, k)
	}
	maps.Copy(labels, set)
	if err := checkLabels(labels); err != nil {
		return nil, err
	}
	if err := s.dir.WriteJSON(labelsFile, labels); err != nil {
		return nil, err
	}
	s.self.Labels = labels
	return maps.Clone(labels), nil
}

// Label implements the API.
func (l localCalls) Label(ctx context.Context, req *api.LabelRequest) (*api.LabelResponse, error) {
	if err := onlyMaster(ctx, "label nodes"); err != nil {
		return nil, err
	}
	m, err := findMember(l.d.members.List(), cmp.Or(req.Node, l.d.self.Name))
	if err != nil {
		return nil, err
	}
	if m.Name == l.d.self.Name {
		labels, err := l.d.members.label(req.Set, req.Unset)
		return &api.LabelResponse{Labels: labels}, err
	}
	c := newCaller(l.d.id, m.Name, m.Address)
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	reply, err := c.peer.LabelHere(ctx, &api.LabelHereRequest{ApiVersion: api.Version, Set: req.Set, Unset: req.Unset})
	if err := fromWire(err, unreachable(m.Name, m.Address)); err != nil {
		return nil, fmt.Errorf("label node %s: %w", m.Name, err)
	}
	l.d.members.hear(reply.Statement)
	return &api.LabelResponse{Labels: reply.Labels}, nil
}

// LabelHere implements the API. Nodes believe each other that it was a master who
// asked for it.
func (p peerCalls) LabelHere(_ context.Context, req *api.LabelHereRequest) (*api.LabelHereResponse, error) {
	labels, err := p.d.members.label(req.Set, req.Unset)
	return &api.LabelHereResponse{Labels: labels, Statement: p.d.members.last()}, err
}
