package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"sync"

	"popcorn/internal/sys"
)

// deputyFD is the descriptor a deputy reads what it is to do from.
const deputyFD = 3

// deputyEnv is all a deputy knows of this host's settings.
var deputyEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// policy says whose deputies may run here.
type policy struct {
	users []string // names and numbers; empty: everybody but root
	root  bool
	euid  int
}

// check refuses users the owner of this host does not want.
func (p policy) check(uid uint32) error {
	switch {
	case p.euid != 0 && int(uid) != p.euid:
		return fmt.Errorf("user %d: this daemon belongs to user %d and starts deputies for nobody else: %w", uid, p.euid, ErrRefused)
	case p.euid == 0 && uid == 0 && !p.root:
		return fmt.Errorf("user 0: root's programs are not let in (allow_root in the configuration of this node's daemon): %w", ErrRefused)
	case uid != 0 && len(p.users) > 0 && !slices.ContainsFunc(p.users, func(s string) bool { return isUser(s, uid) }):
		return fmt.Errorf("user %d: not in allow_users of this node's daemon: %w", uid, ErrRefused)
	}
	return nil
}

// isUser tells whether a name or number means uid.
func isUser(s string, uid uint32) bool {
	want := strconv.FormatUint(uint64(uid), 10)
	if s == want {
		return true
	}
	u, err := user.Lookup(s)
	return err == nil && u.Uid == want
}

// identity is what the deputy of a user runs as. The group comes from another
// host: whoever is not in it here does not get it.
func identity(uid, gid uint32) (*sys.Identity, error) {
	id := &sys.Identity{UID: uid, GID: gid, Groups: []uint32{}}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err == nil {
		names, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("ask for groups of %s: %w", u.Username, err)
		}
		for _, name := range names {
			if n, err := strconv.ParseUint(name, 10, 32); err == nil {
				id.Groups = append(id.Groups, uint32(n))
			}
		}
	} else if !errors.As(err, new(user.UnknownUserIdError)) {
		return nil, fmt.Errorf("look up user %d: %w", uid, err)
	}
	known := err == nil
	if known && !slices.Contains(id.Groups, gid) || !known && gid == 0 {
		return nil, fmt.Errorf("user %d is not in group %d here: %w", uid, gid, ErrRefused)
	}
	return id, nil
}

// deputies starts deputies, and collects them when they end while we live. They are
// not ours otherwise: the daemon's end does not end them.
type deputies struct {
	argv []string // program and arguments
	mark string   // their last argument: our state directory
	log  *slog.Logger
	kick chan struct{}

	// door is held, for reading, until a new deputy can be seen in /proc: whoever
	// shuts it misses none.
	door    sync.RWMutex
	refusal error // not nil: nobody is let in
	policy  policy

	mu   sync.Mutex
	pids map[int]uint32 // the user of each that runs
}

func newDeputies(cfg Config) *deputies {
	return &deputies{argv: cfg.Deputy, mark: cfg.State, policy: policy{cfg.AllowUsers, cfg.AllowRoot, os.Geteuid()}, log: cfg.Log,
		kick: make(chan struct{}, 1), pids: map[int]uint32{}}
}

// start starts a deputy as uid and gid with config to read.
func (a *deputies) start(uid, gid uint32, config []byte) error {
	a.door.RLock()
	defer a.door.RUnlock()
	if a.refusal != nil {
		return a.refusal
	}
	if err := a.policy.check(uid); err != nil {
		return err
	}
	var cred *sys.Identity
	if a.policy.euid == 0 {
		var err error
		if cred, err = identity(uid, gid); err != nil {
			return err
		}
	}
	pid, err := a.spawn(cred, config)
	if err != nil {
		return fmt.Errorf("start deputy for user %d: %w", uid, err)
	}
	a.mu.Lock()
	a.pids[pid] = uid
	a.mu.Unlock()
	select { // it may have ended before we knew it
	case a.kick <- struct{}{}:
	default:
	}
	a.log.Info("deputy started", "pid", pid, "uid", uid)
	return nil
}

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

func (a *deputies) spawn(cred *sys.Identity, config []byte) (int, error) {
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
	argv := append(append([]string{"popcorn"}, a.argv[1:]...), a.mark)
	return sys.Spawn(a.argv[0], sys.SpawnAttr{Argv: argv, Env: deputyEnv, Dir: "/", Files: []int{null, null, null, fd},
		Session: true, Cred: cred})
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

// run collects deputies that have ended, until ctx does.
func (a *deputies) run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, sys.SIGCHLD)
	defer signal.Stop(died)
	for {
		a.reap()
		select {
		case <-ctx.Done():
			return
		case <-died:
		case <-a.kick:
		}
	}
}

// reap asks for each deputy by its own number: other children of this process
// are others' affair.
func (a *deputies) reap() {
	a.mu.Lock()
	running := maps.Clone(a.pids)
	a.mu.Unlock()
	for pid, uid := range running {
		got, status, _, err := sys.Wait(pid, sys.WNOHANG)
		if err == nil && got == 0 {
			continue
		}
		a.mu.Lock()
		delete(a.pids, pid)
		a.mu.Unlock()
		a.log.Info("deputy ended", "pid", pid, "uid", uid, "code", status.ExitStatus(), "signal", int(status.Signal()))
	}
}
