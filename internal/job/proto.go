package job

import (
	"encoding/json"
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/wire"
)

// What "popcorn run" and its supervisors tell each other, one JSON document a
// packet over a socket pair (SOCK_SEQPACKET). The end of the connection is the
// death of the other side.

// fromRun is what a supervisor is told.
type fromRun struct {
	// Peers is every node's address by number, once all listen.
	Peers []string `json:"peers,omitempty"`
	// Quit: the job is over, end.
	Quit bool `json:"quit,omitempty"`
	// Lost: run has not said so, but is gone.
	Lost bool `json:"-"`
	// Drain is a node that everything is to be moved away from; home is asked.
	Drain int `json:"drain,omitempty"`
	// Detach: bring everything home and let the program go; home is asked.
	Detach bool `json:"detach,omitempty"`
	// Ask is a number to be reported as Well.
	Ask int `json:"ask,omitempty"`
}

// fromSupervisor is what a supervisor reports.
type fromSupervisor struct {
	Addr string `json:"addr,omitempty"` // listens here
	// Keep comes with descriptors that must stay open until the guest, whose
	// pidfd is the first of them, is gone.
	Keep bool `json:"keep,omitempty"`
	// PID of the program, once it runs.
	PID int `json:"pid,omitempty"`
	// Ended: the program is over, with its exit code as a shell would tell it.
	Ended bool `json:"ended,omitempty"`
	Code  int  `json:"code,omitempty"`
	// Errno of an execve that failed.
	Errno int `json:"errno,omitempty"`
	// Drain: the host of this node is to be emptied.
	Drain bool `json:"drain,omitempty"`
	// Left: ends because home is gone or has said so; home knows the reason.
	Left bool `json:"left,omitempty"`
	// Well: the supervisor's loop turns.
	Well int `json:"well,omitempty"`
	// Freed: what was to be kept need not be any more.
	Freed bool `json:"freed,omitempty"`
	// Detached: the program was let go.
	Detached bool `json:"detached,omitempty"`
	// Notice is for the person at the terminal.
	Notice string `json:"notice,omitempty"`
	// Lost is the node whose loss Error tells of.
	Lost int `json:"lost,omitempty"`
	// Saved: the job's own checkpoint was written.
	Saved bool `json:"saved,omitempty"`
	// Foster is a child that becomes a job of its own.
	Foster *Foster `json:"foster,omitempty"`
	// Refused: Error is a refusal, and nothing was done. Absent: there was nothing to do
	// it to.
	Refused bool `json:"refused,omitempty"`
	Absent  bool `json:"absent,omitempty"`
	// Error is why the job failed.
	Error string `json:"error,omitempty"`
}

// config is what a supervisor knows from its start; it comes as a file.
type config struct {
	Job    string `json:"job"`
	Secret []byte `json:"secret"`
	// Credentials are for connections between hosts; nil between local nodes.
	Credentials *wire.Credentials `json:"credentials,omitempty"`
	Node        int               `json:"node"`
	RunPID      int               `json:"run_pid"`
	Pgid        int               `json:"pgid"`
	// Supervisors are the process ids of all supervisors started so far.
	Supervisors []int  `json:"supervisors"`
	Ignored     uint64 `json:"ignored"` // signals the program is to find ignored
	Blocked     uint64 `json:"blocked"` // and blocked
	Files       []int  `json:"files"`   // descriptors the program inherits
	Spec        Spec   `json:"spec"`
}

const maxPacket = 128 << 10

func sendPacket(fd int, v any, fds ...int) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode packet: %w", err)
	}
	if err := sys.SendFDs(fd, b, fds...); err != nil {
		return fmt.Errorf("send packet: %w", err)
	}
	return nil
}

func recvPacket(fd int, v any) ([]int, error) {
	buf := make([]byte, maxPacket)
	n, fds, err := sys.RecvFDs(fd, buf, 8)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(buf[:n], v); err != nil {
		return fds, fmt.Errorf("decode packet: %w", err)
	}
	return fds, nil
}
