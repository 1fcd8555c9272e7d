package cgroup

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits are what the processes of a group may use together. What is zero is
// not limited.
type Limits struct {
	CPUs   float64 `json:"cpus,omitempty"`   // processors' worth of time
	Memory uint64  `json:"memory,omitempty"` // bytes, of which none is swapped out
	PIDs   uint32  `json:"pids,omitempty"`   // processes and threads
}

// Least that is of use: a stricter limit lets nothing start, and the kernel
// takes no quota below a millisecond.
const (
	minCPUs   = 0.01
	minMemory = 32 << 20
	minPIDs   = 32
	maxCPUs   = 1 << 16
)

// Any tells whether something is limited.
func (l Limits) Any() bool { return l != Limits{} }

// Check refuses limits nothing could live under.
func (l Limits) Check() error {
	switch {
	case l.CPUs != 0 && !(l.CPUs >= minCPUs && l.CPUs <= maxCPUs):
		return fmt.Errorf("cpus %v: want a number of processors from %v on, as in 2.5", l.CPUs, minCPUs)
	case l.Memory != 0 && l.Memory < minMemory:
		return fmt.Errorf("memory %s: want at least %s", Size(l.Memory), Size(minMemory))
	case l.PIDs != 0 && l.PIDs < minPIDs:
		return fmt.Errorf("pids %d: want at least %d", l.PIDs, minPIDs)
	}
	return nil
}

// String is the limits as a person writes them.
func (l Limits) String() string {
	var words []string
	if l.CPUs != 0 {
		words = append(words, strconv.FormatFloat(l.CPUs, 'f', -1, 64)+" cpus")
	}
	if l.Memory != 0 {
		words = append(words, Size(l.Memory).String()+" memory")
	}
	if l.PIDs != 0 {
		words = append(words, fmt.Sprintf("%d pids", l.PIDs))
	}
	return strings.Join(words, ", ")
}

// controllers are those that it takes to enforce l.
func (l Limits) controllers() (out []string) {
	if l.CPUs != 0 {
		out = append(out, "cpu")
	}
	if l.Memory != 0 {
		out = append(out, "memory")
	}
	if l.PIDs != 0 {
		out = append(out, "pids")
	}
	return out
}

// setting is one file of a group and what is written there.
type setting struct{ file, value string }

// period of cpu.max in microseconds, the kernel's default.
const period = 100_000

// settings enforce l, and lift what an earlier life had set and l does not.
func (l Limits) settings() []setting {
	cpu, memory, swap, pids := "max", "max", "max", "max"
	if l.CPUs != 0 {
		cpu = strconv.FormatInt(int64(l.CPUs*period), 10)
	}
	if l.Memory != 0 {
		memory, swap = strconv.FormatUint(l.Memory, 10), "0"
	}
	if l.PIDs != 0 {
		pids = strconv.FormatUint(uint64(l.PIDs), 10)
	}
	return []setting{{"cpu.max", fmt.Sprintf("%s %d", cpu, period)}, {"memory.max", memory}, {"memory.swap.max", swap}, {"pids.max", pids}}
}

// needs tells whether l cannot be enforced without a file. A kernel without swap
// accounting has no memory.swap.max.
func (l Limits) needs(file string) bool {
	return file == "cpu.max" && l.CPUs != 0 || file == "memory.max" && l.Memory != 0 || file == "pids.max" && l.PIDs != 0
}

// Size is a number of bytes that is read and printed as people write it.
type Size uint64

const units = "KMGT"

// ParseSize reads a number of bytes: 1048576, 512M, 1.5G, 4GiB.
func ParseSize(text string) (Size, error) {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(text), "B"), "i")
	scale := uint64(1)
	if i := strings.IndexByte(units, last(number)); i >= 0 {
		number, scale = number[:len(number)-1], 1<<(10*(i+1))
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0 && v*float64(scale) < 1<<60) {
		return 0, fmt.Errorf("size %q: want bytes, as in 536870912, 512M or 1.5G", text)
	}
	return Size(v * float64(scale)), nil
}

// last is the last byte of a text, 0 of an empty one.
func last(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

// UnmarshalText implements encoding.TextUnmarshaler, for configuration files.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// Set and Type make a Size a flag.
func (s *Size) Set(text string) error { return s.UnmarshalText([]byte(text)) }

// Type implements pflag.Value.
func (*Size) Type() string { return "size" }

// String is the size in the largest unit that divides it into a short number.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	for i := len(units) - 1; i >= 0; i-- {
		if one := uint64(1) << (10 * (i + 1)); uint64(s) >= one {
			return strconv.FormatFloat(float64(s)/float64(one), 'f', decimals(uint64(s), one), 64) + units[i:i+1] + "iB"
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}

func decimals(s, one uint64) int {
	if s%one == 0 {
		return 0
	}
	return 1
}
