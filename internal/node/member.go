package node

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"popcorn/internal/cgroup"
	"popcorn/internal/node/api"
	"popcorn/internal/sys"
)

// State is what is known of a member.
type State string

// States of a member.
const (
	Alive  State = "alive"
	Silent State = "silent" // not heard of for some beats
	Left   State = "left"
	// Draining: it lives, takes no more deputies and waits for those it has to go.
	Draining State = "draining"
)

// lives tells whether a member in this state is heard of.
func (s State) lives() bool { return s == Alive || s == Draining }

// Member is one node of the cluster.
type Member struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	State   State     `json:"state"`
	Since   time.Time `json:"since"`
	Founder bool      `json:"founder"`
	Arch    string    `json:"arch"`
	Kernel  string    `json:"kernel"`
	CPUs    int       `json:"cpus"`
	Memory  uint64    `json:"memory"`
	Version string    `json:"popcorn"`
	// What programs of the cluster may use there together, and each of them.
	Limits cgroup.Limits `json:"limits,omitzero"`
	Each   cgroup.Limits `json:"each,omitzero"`
}

// membership knows the nodes of the cluster. There is one at the founding node,
// which counts them, and one at the others, which asks there; one that gossips
// can take the place of both.
type membership interface {
	// List is sorted by name and holds this node too.
	List() []Member
	// run keeps the list up to date until ctx ends.
	run(ctx context.Context)
	// become changes the state of this node.
	become(s State, since time.Time)
}

// ownMember describes this host.
func ownMember(name, addr, version string, founder bool) Member {
	return Member{Name: name, Address: addr, State: Alive, Since: time.Now(), Founder: founder, Arch: runtime.GOARCH,
		Kernel: sys.KernelRelease(), CPUs: runtime.NumCPU(), Memory: sys.MemoryTotal(), Version: version}
}

// Usable is nil for a member that takes deputies, else why it does not.
func (m Member) Usable() error {
	switch m.State {
	case Alive:
		return nil
	case Draining:
		return refuseDraining(m.Name)
	}
	return fmt.Errorf("node %s is %s: %w", m.Name, m.State, ErrUnreachable)
}

func refuseDraining(name string) error {
	return fmt.Errorf("node %s takes no more programs: it is being emptied (popcorn node drain --undo %[1]s): %w", name, ErrRefused)
}

var stateOnWire = map[State]api.State{Alive: api.State_STATE_ALIVE, Silent: api.State_STATE_SILENT, Left: api.State_STATE_LEFT,
	Draining: api.State_STATE_DRAINING}

func (m Member) toWire() *api.Member {
	return &api.Member{Name: m.Name, Address: m.Address, State: stateOnWire[m.State], Since: m.Since.Unix(), Founder: m.Founder,
		Arch: m.Arch, Kernel: m.Kernel, Cpus: uint32(m.CPUs), Memory: m.Memory, Version: m.Version,
		Limits: limitsToWire(m.Limits), Each: limitsToWire(m.Each)}
}

func limitsToWire(l cgroup.Limits) *api.Limits {
	return &api.Limits{Cpus: l.CPUs, Memory: l.Memory, Pids: l.PIDs}
}

func fromLimits(w *api.Limits) cgroup.Limits {
	return cgroup.Limits{CPUs: w.GetCpus(), Memory: w.GetMemory(), PIDs: w.GetPids()}
}

func fromMember(w *api.Member) Member {
	m := Member{Name: w.GetName(), Address: w.GetAddress(), State: Silent, Since: time.Unix(w.GetSince(), 0), Founder: w.GetFounder(),
		Arch: w.GetArch(), Kernel: w.GetKernel(), CPUs: int(w.GetCpus()), Memory: w.GetMemory(), Version: w.GetVersion(),
		Limits: fromLimits(w.GetLimits()), Each: fromLimits(w.GetEach())}
	for s, on := range stateOnWire {
		if on == w.GetState() {
			m.State = s
		}
	}
	return m
}

func toWireAll(ms []Member) []*api.Member {
	var out []*api.Member
	for _, m := range ms {
		out = append(out, m.toWire())
	}
	return out
}

func fromWireAll(ws []*api.Member) []Member {
	out := []Member{}
	for _, w := range ws {
		out = append(out, fromMember(w))
	}
	return out
}
