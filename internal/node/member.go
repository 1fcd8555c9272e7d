package node

import (
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
	Alive       State = "alive"
	Suspect     State = "suspect"     // it does not answer, but may yet
	Unreachable State = "unreachable" // not heard of for some beats
	Left        State = "left"
	// Draining: it lives, takes no more deputies and waits for those it has to go.
	Draining State = "draining"
)

// Member is one node of the cluster.
type Member struct {
	Name    string            `json:"name"`
	Address string            `json:"address"`
	State   State             `json:"state"`
	Since   time.Time         `json:"since"`
	Founder bool              `json:"founder"`
	Labels  map[string]string `json:"labels"`
	Arch    string            `json:"arch"`
	Kernel  string            `json:"kernel"`
	CPUs    int               `json:"cpus"`
	Memory  uint64            `json:"memory"`      // bytes
	Free    uint64            `json:"memory_free"` // bytes a program could have, as of the last minute
	Version string            `json:"popcorn"`
	// What programs of the cluster may use there together, and each of them.
	Limits cgroup.Limits `json:"limits,omitzero"`
	Each   cgroup.Limits `json:"each,omitzero"`
}

// ownMember describes this host.
func ownMember(name, addr, version string, founder bool) Member {
	return Member{Name: name, Address: addr, State: Alive, Since: time.Now(), Founder: founder, Arch: runtime.GOARCH,
		Kernel: sys.KernelRelease(), CPUs: runtime.NumCPU(), Memory: sys.MemoryTotal(), Free: sys.MemoryAvailable(), Version: version}
}

// Usable is nil for a member that takes deputies, else why it does not.
func (m Member) Usable() error {
	if m.State == Draining {
		return refuseDraining(m.Name)
	}
	// A daemon that others do not hear of may just have been started again: whoever
	// asks for a deputy finds out.
	return nil
}

func refuseDraining(name string) error {
	return fmt.Errorf("node %s takes no more programs: it is being emptied (popcorn node drain --undo %[1]s): %w", name, ErrRefused)
}

var stateOnWire = map[State]api.State{Alive: api.State_STATE_ALIVE, Unreachable: api.State_STATE_UNREACHABLE, Left: api.State_STATE_LEFT,
	Draining: api.State_STATE_DRAINING, Suspect: api.State_STATE_SUSPECT}

func (m Member) toWire() *api.Member {
	return &api.Member{Name: m.Name, Address: m.Address, State: stateOnWire[m.State], Since: m.Since.Unix(), Founder: m.Founder,
		Arch: m.Arch, Kernel: m.Kernel, Cpus: uint32(m.CPUs), Memory: m.Memory, MemoryFree: m.Free, Version: m.Version,
		Labels: m.Labels, Limits: limitsToWire(m.Limits), Each: limitsToWire(m.Each)}
}

func limitsToWire(l cgroup.Limits) *api.Limits {
	return &api.Limits{Cpus: l.CPUs, Memory: l.Memory, Pids: l.PIDs}
}

func fromLimits(w *api.Limits) cgroup.Limits {
	return cgroup.Limits{CPUs: w.GetCpus(), Memory: w.GetMemory(), PIDs: w.GetPids()}
}

func fromMember(w *api.Member) Member {
	m := Member{Name: w.GetName(), Address: w.GetAddress(), State: Unreachable, Since: time.Unix(w.GetSince(), 0), Founder: w.GetFounder(),
		Arch: w.GetArch(), Kernel: w.GetKernel(), CPUs: int(w.GetCpus()), Memory: w.GetMemory(), Free: w.GetMemoryFree(), Version: w.GetVersion(),
		Labels: w.GetLabels(), Limits: fromLimits(w.GetLimits()), Each: fromLimits(w.GetEach())}
	if m.Labels == nil {
		m.Labels = map[string]string{} // in documents an object
	}
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
