package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"popcorn/internal/guest"
	"popcorn/internal/node/api"
	"popcorn/internal/sys"
)

// Finding is what became of one thing that was tried of a host.
type Finding struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"` // without it nothing can run there
	Since    string `json:"since"`    // the least version of Linux that has it
	Need     string `json:"need"`
	Problem  string `json:"problem,omitempty"` // and how to mend it
}

// Findings is the document that "popcorn check --json" prints of its own host.
type Findings struct {
	Version int       `json:"version"`
	Probes  []Finding `json:"probes"`
}

// Examine tries probes in this process.
func Examine(probes []sys.Probe) Findings {
	out := Findings{Version: 1, Probes: []Finding{}}
	for _, p := range probes {
		f := Finding{Name: p.Name, OK: true, Required: p.Required, Since: p.Since, Need: p.Need}
		if err := p.Check(); err != nil {
			f.OK, f.Problem = false, err.Error()
		}
		out.Probes = append(out.Probes, f)
	}
	return out
}

// checkPatience bounds what a host takes to try all probes.
const checkPatience = 10 * time.Second

// checkup tells what this host has for the programs of a user of another: under
// that user's id, since root's rights say nothing of a user's.
func (d *Daemon) checkup(uid, gid uint32) (*api.CheckHereResponse, error) {
	out := &api.CheckHereResponse{Version: d.cfg.Version, ApiVersion: api.Version, Arch: runtime.GOARCH, Cpu: cpuToWire(guest.ReadCPU())}
	if err := d.deputies.mayStart(uid); err != nil {
		out.Refuses = err.Error()
	}
	found, err := d.examineAs(uid, gid)
	switch {
	case errors.Is(err, ErrRefused):
		out.Refuses = err.Error()
	case err != nil:
		return nil, fmt.Errorf("check node %s: %w", d.self.Name, err)
	}
	for _, f := range found.Probes {
		out.Findings = append(out.Findings, &api.Finding{Name: f.Name, Ok: f.OK, Required: f.Required, Since: f.Since, Need: f.Need, Problem: f.Problem})
	}
	return out, nil
}

// mayStart tells why a deputy of a user would not be let in now.
func (a *deputies) mayStart(uid uint32) error {
	a.door.RLock()
	defer a.door.RUnlock()
	if a.refusal != nil {
		return a.refusal
	}
	return a.policy.check(uid)
}

// rules is the policy as it is now.
func (a *deputies) rules() policy {
	a.door.RLock()
	defer a.door.RUnlock()
	return a.policy
}

// examineAs runs "popcorn check --json" as who a user's programs run as.
func (d *Daemon) examineAs(uid, gid uint32) (f Findings, err error) {
	p := d.deputies.rules()
	cred, err := p.runsAs(uid, gid)
	switch {
	case err != nil:
		return f, err
	case cred == nil && int(uid) != p.euid:
		return f, p.check(uid) // it cannot be told
	}
	text, err := outputOf(d.cfg.Check, cred)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read findings: %w", err)
	}
	return f, nil
}

// outputOf runs a program to its end, for checkPatience at most, and returns what
// it wrote to standard output.
func outputOf(argv []string, cred *sys.Identity) ([]byte, error) {
	out, err := sys.Memfd("popcorn-check", 0)
	if err != nil {
		return nil, fmt.Errorf("make file in memory: %w", err)
	}
	defer sys.Close(out)
	null, err := sys.Open(os.DevNull, sys.O_RDWR|sys.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer sys.Close(null)
	pid, err := sys.Spawn(argv[0], sys.SpawnAttr{Argv: append([]string{"popcorn"}, argv[1:]...), Env: deputyEnv, Dir: "/",
		Files: []int{null, out, null}, Session: true, Cred: cred})
	if err != nil {
		return nil, fmt.Errorf("start check: %w", err)
	}
	if err := awaitEnd(pid); err != nil {
		return nil, err
	}
	return readFile(out)
}

// awaitEnd collects a child, which is killed when it takes too long.
func awaitEnd(pid int) error {
	fd, err := sys.PidfdOpen(pid, 0)
	late := err == nil && !sys.AwaitPidfd(fd, checkPatience)
	if err == nil {
		sys.Close(fd)
	}
	if late || err != nil {
		sys.Kill(pid, sys.SIGKILL)
	}
	if _, _, _, e := sys.Wait(pid, 0); e != nil {
		err = errors.Join(err, e)
	}
	if late {
		err = fmt.Errorf("check took more than %v", checkPatience)
	}
	return err
}

func readFile(fd int) ([]byte, error) {
	out := make([]byte, 0, 1<<16)
	for len(out) < cap(out) {
		n, err := sys.Pread(fd, out[len(out):cap(out)], int64(len(out)))
		if err != nil {
			return nil, fmt.Errorf("read output of check: %w", err)
		}
		if n == 0 {
			break
		}
		out = out[:len(out)+n]
	}
	return out, nil
}

// CheckHere implements the API.
func (p peerCalls) CheckHere(_ context.Context, req *api.CheckHereRequest) (*api.CheckHereResponse, error) {
	return p.d.checkup(req.Uid, req.Gid)
}

// maxEcho bounds what is sent back at once.
const maxEcho = 1 << 20

// Echo implements the API.
func (p peerCalls) Echo(_ context.Context, req *api.EchoRequest) (*api.EchoResponse, error) {
	if req.Want > maxEcho {
		return nil, fmt.Errorf("echo of %d bytes: at most %d: %w", req.Want, maxEcho, ErrMalformed)
	}
	return &api.EchoResponse{Now: time.Now().UnixNano(), Data: make([]byte, req.Want)}, nil
}

func cpuToWire(c guest.CPU) *api.Cpu {
	out := &api.Cpu{Features: c.Features, Xcr0: c.XCR0, Size: uint32(c.Size)}
	for _, k := range c.Components {
		out.Components = append(out.Components, &api.Component{Id: uint32(k.ID), Offset: uint32(k.Offset), Size: uint32(k.Size)})
	}
	return out
}

func cpuFromWire(w *api.Cpu) guest.CPU {
	out := guest.CPU{Features: w.GetFeatures(), XCR0: w.GetXcr0(), Size: int(w.GetSize())}
	for _, k := range w.GetComponents() {
		out.Components = append(out.Components, guest.Component{ID: int(k.Id), Offset: int(k.Offset), Size: int(k.Size)})
	}
	return out
}
