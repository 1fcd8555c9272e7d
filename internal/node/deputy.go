package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"popcorn/internal/cgroup"
	"popcorn/internal/sys"
)

// deputyFD is the descriptor a deputy reads what it is to do from.
const deputyFD = 3

// deputyEnv is all a deputy knows of this host's settings.
var deputyEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// deputies starts deputies, and notes when they end while we live. They are not
// ours otherwise: the daemon's end does not end them.
type deputies struct {
	argv   []string // program and arguments
	mark   string   // their last argument: our state directory
	log    *slog.Logger
	audit  *audit
	groups *cgroup.Tree // limits for them; nil without
	each   cgroup.Limits
	all    cgroup.Limits
	kick   chan struct{}

	// door is held, for reading, until a new deputy can be seen in /proc: whoever
	// shuts it misses none.
	door    sync.RWMutex
	refusal error // not nil: nobody is let in
	policy  policy

	mu   sync.Mutex
	runs map[string]*running // by key
	ends ends
}

// running is a deputy that lives.
type running struct {
	process
	uid   uint32 // whose it is
	as    uint32 // who it runs as
	pidfd int    // of one that an earlier life of the daemon started; else -1
}

func newDeputies(cfg Config, audit *audit, groups *cgroup.Tree) *deputies {
	return &deputies{argv: cfg.Deputy, mark: cfg.State, policy: cfg.policy(), log: cfg.Log, audit: audit, groups: groups,
		each: cfg.each(), all: cfg.all(), kick: make(chan struct{}, 1), runs: map[string]*running{}}
}

// errand is a deputy that is asked for.
type errand struct {
	uid, gid uint32
	job      string // what its user calls it, may be empty
	config   []byte // to be read by it
}

// maxJob bounds what a user may call a deputy.
const maxJob = 32

// key names a deputy, and its group, on this host: its user's number and what the
// user calls it.
func (e errand) key() (string, error) {
	job := cmp.Or(e.job, strings.ToLower(rand.Text()[:16]))
	if len(job) > maxJob || strings.Trim(job, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return "", fmt.Errorf("job %q: want at most %d digits and small letters: %w", job, maxJob, ErrMalformed)
	}
	return fmt.Sprintf("%d-%s", e.uid, job), nil
}

// start starts the deputy of an errand.
func (a *deputies) start(e errand) error {
	a.door.RLock()
	defer a.door.RUnlock()
	if a.refusal != nil {
		return a.refusal
	}
	cred, err := a.policy.admit(e.uid, e.gid)
	if err != nil {
		return err
	}
	key, err := e.key()
	if err != nil {
		return err
	}
	a.mu.Lock() // also keeps its end from being noted before its start
	defer a.mu.Unlock()
	if a.runs[key] != nil {
		return fmt.Errorf("user %d: a deputy of this job is here already: %w", e.uid, ErrRefused)
	}
	pid, err := a.spawn(key, cred, e.config)
	if err != nil {
		return fmt.Errorf("start deputy for user %d: %w", e.uid, err)
	}
	a.note(key, pid, e.uid, cred)
	select { // it may have ended before we knew it
	case a.kick <- struct{}{}:
	default:
	}
	return nil
}

// note writes down who has started.
func (a *deputies) note(key string, pid int, uid uint32, cred *sys.Identity) {
	r := &running{process{PID: pid}, uid, uint32(os.Geteuid()), -1}
	if cred != nil {
		r.as = cred.UID
	}
	a.runs[key] = r
	a.log.Info("deputy started", "pid", pid, "uid", uid, "as", r.as)
	a.audit.write(event{What: "deputy started", Who: fmt.Sprintf("uid %d", uid), On: r.String(), Result: "ok"})
}

func (r *running) String() string { return fmt.Sprintf("pid %d as uid %d", r.PID, r.as) }

// shut has new deputies refused with err; nil lets them in again.
func (a *deputies) shut(err error) {
	a.door.Lock()
	defer a.door.Unlock()
	a.refusal = err
}

// govern changes the policy. Deputies that are here stay.
func (a *deputies) govern(p policy) {
	a.door.Lock()
	defer a.door.Unlock()
	a.policy = p
}

// spawn starts a deputy, inside its limits from the first instruction.
func (a *deputies) spawn(key string, cred *sys.Identity, config []byte) (int, error) {
	fd, err := configFile(config)
	if err != nil {
		return 0, err
	}
	defer sys.Close(fd)
	null, err := sys.Open(os.DevNull, sys.O_RDWR|sys.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer sys.Close(null)
	attr := sys.SpawnAttr{Argv: append(append([]string{"popcorn"}, a.argv[1:]...), key, a.mark), Env: deputyEnv, Dir: "/",
		Files: []int{null, null, null, fd}, Session: true, Cred: cred}
	if a.groups != nil {
		group, started, err := a.groups.Make(key)
		if err != nil {
			return 0, err
		}
		defer started()
		attr.InCgroup, attr.Cgroup = true, group
	}
	return sys.Spawn(a.argv[0], attr)
}

// configFile is a file in memory with config in it, to be read from its start.
func configFile(config []byte) (int, error) {
	fd, err := sys.Memfd("popcorn-deputy", 0)
	if err != nil {
		return -1, fmt.Errorf("make file in memory: %w", err)
	}
	for off := 0; off < len(config); {
		n, err := sys.Pwrite(fd, config[off:], int64(off))
		if err != nil {
			sys.Close(fd)
			return -1, fmt.Errorf("write configuration: %w", err)
		}
		off += n
	}
	return fd, nil
}

// look is how often the ends of those are looked for that are no children of ours.
const look = time.Second

// run notes the ends of deputies, until ctx ends.
func (a *deputies) run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, sys.SIGCHLD)
	defer signal.Stop(died)
	tick := time.NewTicker(look)
	defer tick.Stop()
	defer a.release()
	for {
		a.reap()
		a.sweep()
		select {
		case <-ctx.Done():
			return
		case <-died:
		case <-a.kick:
		case <-tick.C:
		}
	}
}
