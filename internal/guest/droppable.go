package guest

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Memory that the kernel may drop at any time (mmap(2), MAP_DROPPABLE; C libraries
// keep the state of random numbers in it) cannot be put under userfaultfd. It is
// made memory that is only wiped in children, of which its owner notices nothing.

const (
	mapType      = 0xf // of the flags of mmap, linux/mman.h
	mapDroppable = 0x8
	wipeOnFork   = 18 // madvise(2)
)

// DropsNothing is the flags of an mmap without MAP_DROPPABLE; droppable tells
// whether it was there, and WipeOnFork is to be called then.
func DropsNothing(flags uint64) (changed uint64, droppable bool) {
	if flags&mapType != mapDroppable {
		return flags, false
	}
	return flags&^mapType | sys.MAP_PRIVATE, true
}

// WipeOnFork has r read as zeros in children.
func (p *Process) WipeOnFork(r vm.Range) error {
	_, err := p.ByButler(sys.SYS_MADVISE, uint64(r.Start), r.Size(), wipeOnFork)
	return err
}

// KeepAll makes what droppable memory there is stay. Threads of the program must
// be stopped.
func (p *Process) KeepAll() error {
	rs, err := p.droppable()
	if err != nil || len(rs) == 0 {
		return err
	}
	ms, err := p.Mappings()
	if err != nil {
		return err
	}
	for _, m := range ms {
		if rs[m.Start] {
			if err := p.keep(m); err != nil {
				return fmt.Errorf("keep droppable memory at %v: %w", m.Range, err)
			}
		}
	}
	return nil
}

func (p *Process) keep(m vm.Mapping) error {
	if err := p.stage(m.Range, m.Start); err != nil {
		return err
	}
	if err := p.unstage(m.Range, m.Prot); err != nil {
		return err
	}
	p.droppables = append(p.droppables, m.Range)
	return p.WipeOnFork(m.Range)
}

// droppable is where droppable mappings start. Only smaps tells (proc(5), VmFlags).
func (p *Process) droppable() (map[vm.Addr]bool, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", p.PID))
	if err != nil {
		return nil, fmt.Errorf("look for droppable memory: %w", err)
	}
	defer f.Close()
	found := map[vm.Addr]bool{}
	var at vm.Addr
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		flags, ok := strings.CutPrefix(line, "VmFlags:")
		var start, end uint64
		switch {
		case ok && strings.Contains(flags+" ", " dp "):
			found[at] = true
		case ok:
		case strings.Contains(line, "-"):
			if n, _ := fmt.Sscanf(line, "%x-%x ", &start, &end); n == 2 {
				at = vm.Addr(start)
			}
		}
	}
	return found, lines.Err()
}
