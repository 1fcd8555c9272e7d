package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

func putLE64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

func vmAddr(a uint64) vm.Addr { return vm.Addr(a) }

// Mappings is the process's address space as its kernel tells it now.
func (p *Process) Mappings() ([]vm.Mapping, error) {
	vmas, err := p.vmas()
	if err != nil {
		return nil, err
	}
	out := make([]vm.Mapping, 0, len(vmas))
	for _, v := range vmas {
		out = append(out, classify(v))
	}
	return out, nil
}

// VMAs is Mappings as the kernel tells them, with what they map.
func (p *Process) VMAs() ([]sys.VMA, error) { return p.vmas() }

// Pagemap is a descriptor of the process's pagemap (proc(5)), for as long as the
// process is not closed.
func (p *Process) Pagemap() int { return p.pmap }

func (p *Process) vmas() ([]sys.VMA, error) {
	// The descriptor is bound to the address space and outlives the first thread.
	vmas, err := sys.ParseMaps(io.NewSectionReader(preader(p.maps), 0, 1<<40))
	if err != nil {
		return nil, fmt.Errorf("read maps of process %d: %w", p.PID, err)
	}
	return vmas, nil
}

// preader reads a descriptor at offsets.
type preader int

func (r preader) ReadAt(b []byte, off int64) (int, error) {
	n, err := sys.Pread(int(r), b, off)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

// statusField is a line of a thread's status file (proc(5)), empty when it is gone.
func statusField(pid, tid int, name string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Filters is how many seccomp filters a thread lives under, 0 when it is gone.
func (p *Process) Filters(tid int) int {
	n, _ := strconv.Atoi(statusField(p.PID, tid, "Seccomp_filters"))
	return n
}

// Arguments is where the process has the strings of its arguments and environment, as
// the kernel knows it (proc_pid_stat(5), arg_start to env_end); none when it is gone.
func (p *Process) Arguments() []vm.Range {
	const argStart = 48
	f, err := sys.ReadStat(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil || len(f) < argStart+4 {
		return nil
	}
	var out []vm.Range
	for i := argStart; i < argStart+4; i += 2 {
		start, _ := strconv.ParseUint(f[i], 10, 64)
		end, _ := strconv.ParseUint(f[i+1], 10, 64)
		if start < end {
			out = append(out, vm.Range{Start: vm.Addr(start), End: vm.Addr(end)})
		}
	}
	return out
}

// Locks tells whether any memory of the process is locked (mlock(2)), which
// refuses to be dropped; true when it cannot be known.
func (p *Process) Locks() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	return err != nil || !bytes.Contains(b, []byte("VmLck:\t       0 kB"))
}

// MappingAt is the mapping that contains a; false when there is none.
func (p *Process) MappingAt(a vm.Addr) (vm.Mapping, bool, error) {
	v, err := sys.QueryVMA(p.maps, uint64(a))
	switch {
	case err == nil:
		return classify(v), true, nil
	case errors.Is(err, sys.ENOENT):
		return vm.Mapping{}, false, nil
	case errors.Is(err, sys.ESRCH):
		return vm.Mapping{}, false, err
	}
	// Before Linux 6.11 there is no PROCMAP_QUERY.
	ms, err := p.Mappings()
	if err != nil {
		return vm.Mapping{}, false, err
	}
	for _, m := range ms {
		if m.Contains(a) {
			return m, true, nil
		}
	}
	return vm.Mapping{}, false, nil
}

// classify says how a mapping of the origin takes part in the shared memory.
func classify(v sys.VMA) vm.Mapping {
	m := vm.Mapping{Range: vm.Range{Start: vm.Addr(v.Start), End: vm.Addr(v.End)}, Name: v.Name}
	if v.Read {
		m.Prot |= vm.ProtRead
	}
	if v.Write {
		m.Prot |= vm.ProtWrite
	}
	if v.Exec {
		m.Prot |= vm.ProtExec
	}
	m.Kind = kindOf(v, m.Range)
	m.GrowsDown = v.Name == "[stack]"
	return m
}

func kindOf(v sys.VMA, r vm.Range) vm.Kind {
	switch {
	case strings.HasPrefix(v.Name, "[vdso]"), strings.HasPrefix(v.Name, "[vvar"),
		v.Name == "[vsyscall]", v.Name == "[uprobes]", r.Overlaps(AgentRange()):
		return vm.Local
	case v.Name == "/dev/zero" && !v.Shared:
		return vm.WritableFile
	case strings.HasPrefix(v.Name, "/dev/") && !strings.HasPrefix(v.Name, "/dev/shm/"),
		strings.HasPrefix(v.Name, "/anon_hugepage"):
		return vm.HomeOnly
	case v.Shared && v.Write:
		return vm.HomeOnly
	case v.Shared:
		return vm.Immutable
	case v.Inode == 0:
		return vm.Coherent
	case v.Write:
		return vm.WritableFile
	}
	return vm.Immutable
}

// KernelProt is p in the kernel's PROT_ bits, which are the same by value.
func KernelProt(p vm.Prot) uint64 { return uint64(p) }

// Present tells for every page of r whether the kernel holds something for it
// (in memory or swap); pages of never-touched anonymous memory are not present.
func (p *Process) Present(r vm.Run, present []bool) error {
	buf := make([]byte, 8*r.N)
	n, err := sys.PeekMemory(p.pmap, buf, int64(r.First)*8)
	if err == nil && n < len(buf) {
		err = short(n)
	}
	if err != nil {
		return fmt.Errorf("read pagemap at %v: %w", r, err)
	}
	for i := range present[:r.N] {
		const swappedOrPresent = 3 << 62 // Documentation/admin-guide/mm/pagemap.rst
		present[i] = le64(buf[8*i:])&swappedOrPresent != 0
	}
	return nil
}
