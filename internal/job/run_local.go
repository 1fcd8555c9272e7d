package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"popcorn/internal/sys"
)

// local is a supervisor that was started by this process.
type local struct {
	nid  int
	pid  int
	sock int
	// crash is what the supervisor's Go run time writes when it panics.
	crash int
	// status is how it ended, in words; empty until that is known.
	status string
}

// spawn starts the supervisor of node cfg.Node.
func spawn(cfg config) (*local, error) {
	ours, theirs, err := sys.Socketpair(sys.SOCK_SEQPACKET)
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	defer sys.Close(theirs)
	file, err := configFile(cfg)
	if err != nil {
		sys.Close(ours)
		return nil, err
	}
	defer sys.Close(file)
	files := cfg.Files
	if cfg.Node != 0 || cfg.Spec.Attach != 0 {
		null, err := sys.Open("/dev/null", sys.O_RDWR|sys.O_CLOEXEC, 0)
		if err != nil {
			sys.Close(ours)
			return nil, fmt.Errorf("open /dev/null: %w", err)
		}
		defer sys.Close(null)
		files = []int{null, null, null}
	}
	n := len(files)
	crash, err := sys.Memfd("popcorn-crash", 0)
	if err != nil {
		sys.Close(ours)
		return nil, fmt.Errorf("make crash file: %w", err)
	}
	files = append(files[:n:n], theirs, file, crash)
	pid, err := sys.Spawn("/proc/self/exe", sys.SpawnAttr{
		Argv: []string{"popcorn", "supervise", strconv.Itoa(n), strconv.Itoa(n + 1), strconv.Itoa(n + 2)},
		Env:  supervisorEnv(), Dir: "/", Files: files, Pgid: -1,
		Held: sys.SignalSet(notOurs...),
	})
	if err != nil {
		sys.Close(ours)
		sys.Close(crash)
		return nil, err
	}
	return &local{nid: cfg.Node, pid: pid, sock: ours, crash: crash}, nil
}

// supervisorEnv is our environment without what would steer the Go run time of
// a supervisor when it was meant for the program.
func supervisorEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOMAXPROCS=") && !strings.HasPrefix(e, "GODEBUG=") && !strings.HasPrefix(e, "GOGC=") {
			env = append(env, e)
		}
	}
	return env
}

// configFile is a file of what a process of ours is told at its start.
func configFile(cfg any) (int, error) {
	b, err := json.Marshal(cfg)
	if err != nil {
		return -1, fmt.Errorf("encode configuration: %w", err)
	}
	fd, err := sys.Memfd("popcorn-config", 0)
	if err == nil {
		_, err = sys.Pwrite(fd, b, 0)
	}
	if err != nil {
		if fd >= 0 {
			sys.Close(fd)
		}
		return -1, fmt.Errorf("write configuration: %w", err)
	}
	return fd, nil
}

func (s *local) send(m fromRun) { sendPacket(s.sock, m) }

func (s *local) receive(m *fromSupervisor) ([]int, error) { return recvPacket(s.sock, m) }

func (s *local) elsewhere() bool { return false }

func (s *local) hangUp() { sys.Shutdown(s.sock) }

func (s *local) release() {
	sys.Close(s.sock)
	sys.Close(s.crash)
}

// end waits for the supervisor to end and kills it when it does not.
func (s *local) end(deadline time.Time) {
	if s.status != "" {
		return
	}
	fd, err := sys.PidfdOpen(s.pid, 0)
	if err == nil {
		if !sys.AwaitPidfd(fd, time.Until(deadline)) {
			sys.PidfdSendSignal(fd, sys.SIGKILL)
		}
		sys.Close(fd)
	}
	_, status, _, _ := sys.Wait(s.pid, 0)
	s.status = fmt.Sprintf("with exit code %d", status.ExitStatus())
	if status.Signaled() {
		s.status = fmt.Sprintf("by signal %d", status.Signal())
	}
}

// dyingPatience is how long a supervisor may take to be gone that has hung up.
const dyingPatience = time.Second

func (s *local) died(how error) error {
	s.end(time.Now().Add(dyingPatience))
	err := fmt.Errorf("the supervisor of node %d (pid %d) has died, %s", s.nid, s.pid, s.status)
	if !errors.Is(how, io.EOF) {
		err = fmt.Errorf("%w: %w", err, how)
	}
	if why := s.crashed(); why != "" {
		err = fmt.Errorf("%w; this is a bug in popcorn:\n%s", err, why)
	}
	return err
}

// crashed is what the supervisor printed when it panicked, empty if it did not.
func (s *local) crashed() string {
	b := make([]byte, 16<<10)
	n, _ := sys.Pread(s.crash, b, 0)
	return string(b[:max(n, 0)])
}
