package job

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/pager"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/wire"
)

// stats is what the origin counts.
type stats struct {
	threads   int
	moves     map[string]uint64 // by direction
	forward   pager.Histogram
	forwarded map[uint64]uint64
	copied    map[uint64]uint64
	wentHome  map[string]uint64
	peaks     map[coherence.NodeID]int
	home      sys.Rusage
	faults    faultStats
	remotes   map[coherence.NodeID]remoteReport
	waits     []*statsWait
}

// statsWait is what is done when the figures of the nodes in left are there.
type statsWait struct {
	left map[coherence.NodeID]bool
	then func()
}

func newStats() *stats {
	return &stats{moves: map[string]uint64{}, forwarded: map[uint64]uint64{}, copied: map[uint64]uint64{}, wentHome: map[string]uint64{},
		peaks: map[coherence.NodeID]int{}, remotes: map[coherence.NodeID]remoteReport{}}
}

func (s *stats) moved(from, to coherence.NodeID) {
	switch {
	case from == coherence.Home && to != coherence.Home:
		s.moves["out"]++
	case to == coherence.Home:
		s.moves["home"]++
	}
}

func (s *stats) peak(n coherence.NodeID, threads int) { s.peaks[n] = max(s.peaks[n], threads) }

// faultStats is the pager's and the machine's figures of one node, as sent.
type faultStats struct {
	Pager   pager.Stats
	Machine coherence.Stats
}

func (f *faultStats) merge(p *pager.Stats, m coherence.Stats) {
	f.Pager.Merge(p)
	f.Machine.Merge(m)
}

// remoteStats is what a remote counts.
type remoteStats struct {
	cpu      time.Duration
	peak     int
	answered map[int]uint64
	faults   faultStats
}

func newRemoteStats() remoteStats { return remoteStats{answered: map[int]uint64{}} }

// remoteReport is a remote's figures on the wire.
type remoteReport struct {
	CPU      time.Duration
	Peak     int
	Answered map[int]uint64
	Faults   faultStats
}

func (r *remote) sendStats() {
	f := r.stats.faults
	cpu := r.stats.cpu
	if r.stub != nil {
		cpu += r.stubCPU()
		f.merge(&r.pager.Stats, r.pager.Machine().Stats())
	}
	b, err := json.Marshal(remoteReport{cpu, r.stats.peak, r.stats.answered, f})
	if err != nil {
		r.logf("encode statistics: %v", err)
	}
	r.send(coherence.Home, wire.Header{Type: wire.TStatsResult}, b)
}

// maxCounted is how many calls are counted apart: their numbers come from other
// nodes, and there are 2^64.
const maxCounted = 1024

// otherCalls stands for those beyond that.
const otherCalls = ^uint64(0)

// count adds one to what there is of key, or of rest once there are too many.
func count[K comparable](m map[K]uint64, key, rest K) {
	if _, ok := m[key]; !ok && len(m) >= maxCounted {
		key = rest
	}
	m[key]++
}

// statsPatience is how long the end of a job, and who inspects it, waits for the
// nodes' figures.
const statsPatience = 2 * time.Second

// finishStats asks all nodes for their figures, if anybody wants them, then ends
// the job.
func (o *origin) finishStats() {
	if o.cfg.Spec.StatsFile == "" {
		o.finishJob()
		return
	}
	o.gatherStats(o.finishJob)
}

// gatherStats asks all nodes for their figures and calls then when they are there,
// or when statsPatience has passed.
func (o *origin) gatherStats(then func()) {
	w := &statsWait{left: map[coherence.NodeID]bool{}, then: then}
	for n := range o.peers {
		w.left[n] = true
		o.send(n, wire.Header{Type: wire.TStats})
	}
	o.stats.waits = append(o.stats.waits, w)
	o.loop.after(statsPatience, func() {
		clear(w.left)
		o.endStatsWaits()
	})
	o.endStatsWaits() // there may be no other node
}

// endStatsWaits ends those that have all they wait for.
func (o *origin) endStatsWaits() {
	var over []*statsWait
	o.stats.waits = slices.DeleteFunc(o.stats.waits, func(w *statsWait) bool {
		if len(w.left) > 0 {
			return false
		}
		over = append(over, w)
		return true
	})
	for _, w := range over {
		w.then()
	}
}

func (o *origin) nodeStats(from coherence.NodeID, payload []byte) error {
	var r remoteReport
	if err := json.Unmarshal(payload, &r); err != nil {
		return fmt.Errorf("decode statistics: %w", err)
	}
	o.stats.remotes[from] = r
	for _, w := range o.stats.waits {
		delete(w.left, from)
	}
	o.endStatsWaits()
	return nil
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type faultReport struct {
	Count   uint64    `json:"count"`
	Latency quantiles `json:"latency_us"`
}

func reportOf(h *pager.Histogram) faultReport {
	return faultReport{h.Count, quantiles{h.Quantile(0.5), h.Quantile(0.99)}}
}

type nodeReport struct {
	NID     int     `json:"nid"`
	Name    string  `json:"name"`
	CPU     float64 `json:"cpu_seconds"`
	Threads int     `json:"threads_peak"`
}

type callReport struct {
	Local     uint64 `json:"local"`
	Answered  uint64 `json:"answered"`
	Forwarded uint64 `json:"forwarded"`
	// Copied is how many of those forwarded had copies to read and to write.
	Copied uint64 `json:"copied"`
}

// statsDocument is the content of --stats.
type statsDocument struct {
	Version    int          `json:"version"`
	Command    []string     `json:"command"`
	ExitCode   int          `json:"exit_code"`
	Seconds    float64      `json:"seconds"`
	Nodes      []nodeReport `json:"nodes"`
	Migrations struct {
		Count     uint64            `json:"count"`
		Direction map[string]uint64 `json:"direction"`
		Latency   quantiles         `json:"latency_us"`
	} `json:"migrations"`
	Faults map[string]faultReport `json:"faults"`
	Pages  struct {
		Sent        uint64 `json:"sent"`
		Received    uint64 `json:"received"`
		Prefetched  uint64 `json:"prefetched"`
		Invalidated uint64 `json:"invalidated"`
		Zero        uint64 `json:"zero"`
	} `json:"pages"`
	Bytes    uint64                `json:"bytes"`
	Syscalls map[string]callReport `json:"syscalls"`
	WentHome map[string]uint64     `json:"went_home"`
}

func (o *origin) document() statsDocument {
	s := o.stats
	d := statsDocument{Version: 1, Command: o.cfg.Spec.Argv, ExitCode: o.code,
		Seconds: time.Since(o.started).Seconds(), Syscalls: map[string]callReport{}, WentHome: s.wentHome}
	home := time.Duration(s.home.Utime.Nano() + s.home.Stime.Nano())
	if !o.ended {
		home, _ = sys.ProcessCPU(o.proc.PID) // none: it has just ended
	}
	d.Nodes = append(d.Nodes, nodeReport{0, o.cfg.Spec.nodeName(0), home.Seconds(), s.peaks[coherence.Home]})
	all := s.faults
	if o.pager != nil {
		all.merge(&o.pager.Stats, o.pager.Machine().Stats())
	}
	for n := 1; n < o.cfg.Spec.Nodes; n++ {
		r := s.remotes[coherence.NodeID(n)]
		d.Nodes = append(d.Nodes, nodeReport{n, o.cfg.Spec.nodeName(n), r.CPU.Seconds(), max(r.Peak, s.peaks[coherence.NodeID(n)])})
		all.merge(&r.Faults.Pager, r.Faults.Machine)
		for nr, k := range r.Answered {
			c := d.Syscalls[syscalls.Lookup(nr).Name]
			c.Answered += k
			d.Syscalls[syscalls.Lookup(nr).Name] = c
		}
	}
	for nr, k := range s.forwarded {
		c := d.Syscalls[syscalls.Lookup(int(nr)).Name]
		c.Forwarded += k
		c.Copied += s.copied[nr]
		d.Syscalls[syscalls.Lookup(int(nr)).Name] = c
	}
	d.Migrations.Direction = s.moves
	for _, k := range s.moves {
		d.Migrations.Count += k
	}
	d.Migrations.Latency = quantiles{s.forward.Quantile(0.5), s.forward.Quantile(0.99)}
	p := &all.Pager
	d.Faults = map[string]faultReport{"read": reportOf(&p.Read), "write": reportOf(&p.Write),
		"upgrade": reportOf(&p.Upgrade), "zero": {Count: p.Zeros}}
	d.Pages.Sent, d.Pages.Received, d.Pages.Prefetched, d.Pages.Zero = p.Sent, p.Received, p.Prefetched, p.Zeros
	d.Pages.Invalidated = all.Machine.Invalidations
	d.Bytes = p.Bytes
	return d
}

// nodeName is a node's in tables and documents.
func (s *Spec) nodeName(n int) string {
	switch {
	case n < len(s.Hosts):
		return s.Hosts[n].Name
	case n == 0:
		return "home"
	}
	return fmt.Sprintf("node%d", n)
}

func (o *origin) writeStats() error {
	if o.cfg.Spec.StatsFile == "" {
		return nil
	}
	b, err := json.MarshalIndent(o.document(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode statistics: %w", err)
	}
	if err := os.WriteFile(o.cfg.Spec.StatsFile, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write statistics: %w", err)
	}
	return nil
}
