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

// refusals writes down who was not served.
type refusals struct {
	mu     sync.Mutex
	minute time.Time
	n      int
}

// note tells the system log of a caller who was refused. Without one nobody is
// told but the caller.
func (r *refusals) note(job string, who sys.Cred) {
	if !r.room(time.Now()) {
		return
	}
	c, err := net.DialTimeout("unixgram", systemLog, logTimeout)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(logTimeout))
	fmt.Fprintf(c, "<%d>popcorn[%d]: refused: user %d (pid %d) called job %s of user %d", authpriv|notice, os.Getpid(), who.UID, who.PID,
		job, os.Geteuid())
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
