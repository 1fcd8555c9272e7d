package bench

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// what is a number in the guest's records; guest/bench_amd64.c knows them too.
type what uint64

const (
	readFault what = iota + 1
	writeFault
	upgradeFault
	getppid
	firstMove
	forward
	back
	mapUnmap
	stream
	touchHome
	touchAway
	roundTrip
	streamBuffer
	encryptedFault // the guest knows it as a read fault
	fstat
	writeFile
	readFile
	transfer
)

// bulk is the bytes of the three measurements that are one long stretch.
const bulk = 256 << 20

// A row is one line of the result. The measurement comes from the run of mode
// under popcorn, the floor from the run of floorMode alone.
type row struct {
	name string
	// mode runs under popcorn, floorMode alone; without one the row is mode once
	// more by TLS, beside what it was before.
	mode, floorMode string
	what, floorWhat what
	// bound is the ratio we hold ourselves to: at most for times, at least for
	// throughput; 0 none.
	bound float64
	// limit is the median we hold ourselves to whatever the floor, in microseconds; 0 none.
	limit float64
}

var rows = []row{
	{"read fault", "faults", "floor-faults", readFault, readFault, 1.6, 0},
	{"read fault, encrypted", "faults", "", encryptedFault, readFault, 1.5, 0},
	{"write fault", "faults", "floor-faults", writeFault, writeFault, 2, 0},
	{"write upgrade", "faults", "floor-faults", upgradeFault, upgradeFault, 2, 0},
	{"getppid, forwarded", "getppid", "floor-getppid", getppid, getppid, 2, 0},
	{"fstat, forwarded", "getppid", "floor-getppid", fstat, getppid, 0, 0},
	{"write of 1 MiB", "files", "floor-transfers", writeFile, transfer, 1.6, 0},
	{"read of 1 MiB", "files", "floor-transfers", readFile, transfer, 1.6, 0},
	{"first migration", "first", "floor-first", firstMove, firstMove, 0, 8000},
	{"later migration forward", "moves", "floor-round-trip", forward, roundTrip, 6, 0},
	{"later migration back", "moves", "floor-round-trip", back, roundTrip, 0, 0},
	{"mmap and munmap", "maps", "floor-maps", mapUnmap, mapUnmap, 0, 0},
	{"sequential read", "stream", "floor-stream", stream, stream, 0.6, 0},
	{"sequential read, to discard", "stream", "floor-stream-buffer", stream, streamBuffer, 0, 0},
	{"first touch at home", "touch-home", "floor-touch", touchHome, touchHome, 0.8, 0},
	{"first touch at a remote", "touch-away", "floor-touch", touchAway, touchHome, 0.25, 0},
}

// isBulk tells whether a row is about throughput.
func (r row) isBulk() bool { return r.what == stream || r.what == touchHome || r.what == touchAway }

// Floors says in words what stands beside each measurement.
const Floors = `Floors: a fault handled by a process that sends 64 bytes over TCP, gets a page
(or 64 bytes for an upgrade) and installs it, with no directory; a call caught by
a seccomp notification and made at the other end of that connection; asking for
1 MiB over such a connection and getting it into memory that is there; starting
a static program; a TCP round trip of 64 bytes and a page; mmap and munmap, and
touching fresh memory, in a program of its own; a TCP stream from memory to
fresh memory, and one that is thrown away as it comes. The floor of what is
encrypted is the same without.`

// samples is durations in nanoseconds, by what was measured.
type samples map[what][]float64

// parse reads the guest's output; see guest/bench_amd64.c.
func parse(out []byte) (samples, error) {
	const clocks = 2
	if len(out)%8 != 0 || len(out) < 8*2*clocks {
		return nil, fmt.Errorf("parse measurements: %d bytes", len(out))
	}
	words := make([]uint64, len(out)/8)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(out[8*i:])
	}
	end := len(words) - clocks
	ticks := float64(words[end] - words[0])
	if ticks <= 0 {
		return nil, fmt.Errorf("parse measurements: the clock stands still")
	}
	perTick := float64(words[end+1]-words[1]) / ticks
	s := samples{}
	for at := clocks; at < end; {
		if end-at < 2 || words[at+1] > uint64(end-at-2) {
			return nil, fmt.Errorf("parse measurements: record cut short")
		}
		w, n := what(words[at]), int(words[at+1])
		for _, v := range words[at+2 : at+2+n] {
			s[w] = append(s[w], float64(v)*perTick)
		}
		at += 2 + n
	}
	return s, nil
}

// Quantiles of a measurement, in the result's unit.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Result is one measurement beside its floor. Times are in microseconds;
// throughputs in MB/s, p99 then being the slowest in a hundred.
type Result struct {
	Name  string    `json:"name"`
	Unit  string    `json:"unit"`
	Here  Quantiles `json:"measured"`
	Floor Quantiles `json:"floor"`
	// Ratio is the median over the rounds of measured to floor in that round.
	Ratio float64 `json:"ratio"`
	// Bound is the ratio promised: at most for times, at least for throughput.
	Bound float64 `json:"bound,omitempty"`
	// Limit is the median promised whatever the floor.
	Limit float64 `json:"limit,omitempty"`
}

// Kept tells whether what was promised was reached.
func (r Result) Kept() bool {
	switch {
	case r.Limit > 0 && r.Here.P50 > r.Limit:
		return false
	case r.Bound == 0:
		return true
	case r.Unit == perSecond:
		return r.Ratio >= r.Bound
	}
	return r.Ratio <= r.Bound
}

const (
	micros    = "us"
	perSecond = "MB/s"
)

// evaluate makes a row's result of the rounds' samples.
func (r row) evaluate(rounds []round) Result {
	var here, floor, ratios []float64
	for _, each := range rounds {
		h, f := r.convert(each.here[r.what]), r.convert(each.floor[r.floorKey()])
		ratios = append(ratios, quantile(h, 0.5)/quantile(f, 0.5))
		here, floor = append(here, h...), append(floor, f...)
	}
	res := Result{Name: r.name, Unit: micros, Ratio: quantile(ratios, 0.5), Bound: r.bound, Limit: r.limit}
	worst := 0.99
	if r.isBulk() {
		res.Unit, worst = perSecond, 0.01
	}
	res.Here = Quantiles{quantile(here, 0.5), quantile(here, worst)}
	res.Floor = Quantiles{quantile(floor, 0.5), quantile(floor, worst)}
	return res
}

// floorKey is by what the row's floor is kept in a round.
func (r row) floorKey() what {
	if r.floorMode == "" {
		return r.what
	}
	return r.floorWhat
}

// convert makes the row's unit of nanoseconds.
func (r row) convert(ns []float64) []float64 {
	out := make([]float64, len(ns))
	for i, v := range ns {
		out[i] = v / 1e3
		if r.isBulk() {
			out[i] = bulk / v * 1e3
		}
	}
	return out
}

// quantile is the q-th of v, NaN of nothing.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.SortedFunc(slices.Values(v), cmp.Compare[float64])
	return v[min(int(q*float64(len(v))), len(v)-1)]
}
