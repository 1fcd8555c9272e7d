package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"popcorn/internal/job"
	"popcorn/internal/node"
)

// cluster is what run needs of the daemon of this host.
type cluster interface {
	Self(ctx context.Context) (node.Self, error)
	Members(ctx context.Context) ([]node.Member, error)
	job.Deputies
}

// localCluster is a variable for tests.
var localCluster = func(ctx context.Context) (cluster, error) { return node.Local(ctx) }

// clusterPatience bounds what is asked of the daemon before a program starts.
const clusterPatience = 10 * time.Second

// hostList is what --hosts and --hostfile name.
func (f *runFlags) hostList() ([]hostSlots, error) {
	switch {
	case f.hosts != "" && f.hostfile != "":
		return nil, errors.New("--hosts and --hostfile exclude each other")
	case f.hosts != "":
		return parseHosts(f.hosts)
	case f.hostfile != "":
		return readHostfile(f.hostfile)
	}
	return nil, nil
}

// onHosts makes s a job of this host and those listed. It returns who starts
// deputies there.
func onHosts(ctx context.Context, s *job.Spec, list []hostSlots) (job.Deputies, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	c, err := localCluster(ctx)
	if err != nil {
		return nil, fmt.Errorf("run on several hosts: %w", err)
	}
	self, err := c.Self(ctx)
	if err != nil {
		return nil, err
	}
	members, err := c.Members(ctx)
	if err != nil {
		return nil, err
	}
	return c, placeHosts(s, self.Member, members, list)
}

// placeHosts numbers the hosts: this one first, as home, then those listed. A host
// that is listed more than once has as many more slots.
func placeHosts(s *job.Spec, self node.Member, members []node.Member, list []hostSlots) error {
	home, err := hostOf(self)
	if err != nil {
		return err
	}
	s.Hosts, s.Slots = []job.Host{home}, []int{0}
	for _, l := range list {
		m, err := memberCalled(members, l.name)
		if err != nil {
			return err
		}
		if err := m.Usable(); err != nil {
			return err
		}
		h, err := hostOf(m)
		if err != nil {
			return err
		}
		if nid := slices.IndexFunc(s.Hosts, func(o job.Host) bool { return o.Name == h.Name }); nid >= 0 {
			s.Slots[nid] += l.slots
			continue
		}
		s.Hosts, s.Slots = append(s.Hosts, h), append(s.Slots, l.slots)
	}
	s.Slots[0] = max(s.Slots[0], 1) // the program's first thread
	if s.Nodes = len(s.Hosts); s.Nodes == 1 {
		s.Hosts, s.Slots = nil, nil
	}
	return nil
}

// hostOf is where supervisors of a job reach each other at m.
func hostOf(m node.Member) (job.Host, error) {
	ip, _, err := net.SplitHostPort(m.Address)
	if err != nil {
		return job.Host{}, fmt.Errorf("address of node %s: %w", m.Name, err)
	}
	return job.Host{Name: m.Name, IP: ip}, nil
}

// memberCalled finds the member that word means. One that has left is none.
func memberCalled(members []node.Member, word string) (node.Member, error) {
	i := slices.IndexFunc(members, func(m node.Member) bool { return isCalled(m, word) && m.State != node.Left })
	if i < 0 {
		return node.Member{}, fmt.Errorf("%s is no node of this cluster; popcorn node ls lists them: %w", word, node.ErrNoSuchNode)
	}
	return members[i], nil
}

// isCalled tells whether word means node m: its name, or its address.
func isCalled(m node.Member, word string) bool {
	ip, _, _ := net.SplitHostPort(m.Address)
	return word == m.Name || word == m.Address || word == ip
}
