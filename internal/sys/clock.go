package sys

import (
	"slices"

	"golang.org/x/sys/unix"
)

// wallClocks are those that show the same to every process of a time namespace,
// and a positive number.
var wallClocks = []int32{unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_REALTIME_COARSE,
	unix.CLOCK_MONOTONIC_COARSE, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI}

// WallClock tells whether ReadClock can read a clock for another process.
func WallClock(id int32) bool { return slices.Contains(wallClocks, id) }

// ReadClock is what a wall clock shows, in nanoseconds.
func ReadClock(id int32) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err) // every kernel has these
	}
	return ts.Nano()
}
