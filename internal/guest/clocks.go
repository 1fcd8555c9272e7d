package guest

import (
	"fmt"
	"os"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// Clocks tells whose clocks a process reads: CLOCK_MONOTONIC and its kin belong
// to a boot of a kernel and, in it, to a time namespace (time_namespaces(7)).
type Clocks struct {
	// Boot is the kernel's random name of this boot.
	Boot string
	// Offsets are those of the time namespace, empty where there are none.
	Offsets string
	// Now is CLOCK_MONOTONIC of the supervisor that tells this, when it does.
	Now time.Duration
}

// ReadClocks tells of the clocks of process pid.
func ReadClocks(pid int) (Clocks, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Clocks{}, fmt.Errorf("read clocks: %w", err)
	}
	// A kernel without time namespaces has no such file.
	offsets, err := os.ReadFile(fmt.Sprintf("/proc/%d/timens_offsets", pid))
	if err != nil && !os.IsNotExist(err) {
		return Clocks{}, fmt.Errorf("read clocks: %w", err)
	}
	return Clocks{Boot: strings.TrimSpace(string(boot)), Offsets: words(offsets), Now: sys.Monotonic()}, nil
}

// words is text without its alignment.
func words(b []byte) string { return strings.Join(strings.Fields(string(b)), " ") }

// lateness is how old a reading may be that is still believed to be of the same
// clock. Two machines made from one snapshot name the same boot, but hardly show
// the same time; a supervisor that was stopped in between costs only speed.
const lateness = 10 * time.Second

// Same tells whether c, told by another node, are the very clocks of here.
func (c Clocks) Same(here Clocks) bool {
	age := here.Now - c.Now
	return c.Boot != "" && c.Boot == here.Boot && c.Offsets == here.Offsets && age.Abs() <= lateness
}
