package carry

import (
	"encoding/binary"
	"strconv"
	"strings"

	"popcorn/internal/image"
)

var le = binary.LittleEndian

// sigeventSize is that of struct sigevent (asm-generic/siginfo.h).
const sigeventSize = 64

// timerLine takes one line of /proc/PID/timers: "signal: 14/00007f12..." (number
// and value), "notify: signal/pid.4711", "ClockID: 1".
func (d *Draft) timerLine(t *image.Timer, name, value string) {
	if t.Event == nil {
		t.Event = make([]byte, sigeventSize)
	}
	first, second, _ := strings.Cut(value, "/")
	switch name {
	case "ClockID":
		t.Clock, _ = strconv.Atoi(value)
	case "signal":
		signo, _ := strconv.Atoi(first)
		v, _ := strconv.ParseUint(second, 16, 64)
		le.PutUint64(t.Event, v)
		le.PutUint32(t.Event[8:], uint32(signo))
	case "notify":
		how := map[string]uint32{"signal": 0, "none": 1, "thread": 2}[first]
		to, id, _ := strings.Cut(second, ".")
		if to == "tid" {
			n, _ := strconv.Atoi(id)
			how |= 4 // SIGEV_THREAD_ID
			le.PutUint32(t.Event[16:], uint32(n))
		}
		le.PutUint32(t.Event[12:], how)
	}
}
