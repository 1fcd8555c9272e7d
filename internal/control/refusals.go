package control

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"popcorn/internal/sys"
)

// systemLog is where the host collects what its programs have to tell
// (systemd-journald.service(8), syslog(3)). A variable for tests.
var systemLog = "/dev/log"

const (
	// authpriv and notice are the facility and the level that such things have, as
	// those of su and sudo (RFC 5424, 6.2.1).
	authpriv = 10 << 3
	notice   = 5
	// refusalsAMinute bounds what a caller can have written.
	refusalsAMinute = 60
	logTimeout      = 200 * time.Millisecond
)

// refusals bounds what is written down.
type refusals struct {
	mu     sync.Mutex
	minute time.Time
	n      int
}

// refused are those of this process.
var refused refusals

func refuse(job string, who sys.Cred) {
	Refused("user %d (pid %d) called job %s of user %d", who.UID, who.PID, job, os.Geteuid())
}

// Refused tells the system log whom this process has not served. Without one
// nobody is told but the caller.
func Refused(format string, a ...any) {
	if !refused.room(time.Now()) {
		return
	}
	c, err := net.DialTimeout("unixgram", systemLog, logTimeout)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(logTimeout))
	fmt.Fprintf(c, "<%d>popcorn[%d]: refused: %s", authpriv|notice, os.Getpid(), fmt.Sprintf(format, a...))
}

func (r *refusals) room(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.minute) > time.Minute {
		r.minute, r.n = now, 0
	}
	r.n++
	return r.n <= refusalsAMinute
}
