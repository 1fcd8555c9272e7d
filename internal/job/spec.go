package job

import (
	"time"

	"popcorn/internal/guest"
)

// Spec says what to run and where. The command line fills it in, already
// checked: Path exists and is executable here, On is a node of the job.
type Spec struct {
	// Path is the program, resolved as execvp(3) would; Argv[0] is the name
	// it was called by.
	Path string
	Argv []string
	// Attach is the process to take under control instead of starting Path, 0 for
	// none. Argv is then only what it is called.
	Attach int
	// Foster is what is known of that process when it is another job's child that
	// was made for a node of this one; nil if it is not.
	Foster *Foster
	// Family is the id of the job whose descendant this is; empty for none.
	Family string
	// Env is the whole environment of the program, as "NAME=value".
	Env []string
	// Image is a checkpoint that the program is restored from; Path and Argv are
	// then what it was started with. Empty: it is started.
	Image string
	// Dir is the working directory; empty means the caller's.
	Dir string
	// Nodes is how many local nodes the job has, home included; at least 1.
	Nodes int
	// Hosts says where the nodes are, by number, home first; empty when all are
	// local.
	Hosts []Host
	// Encrypt has local nodes talk by TLS too; nodes on other hosts always do.
	Encrypt bool
	// TCP has local nodes talk by TCP and not by unix sockets. Encrypt implies it.
	TCP bool
	// Slots is how many threads in a row Spread gives each node; empty means one.
	Slots []int
	// LossTimeout is how long a node on another host may give no sign of life
	// before it counts as lost.
	LossTimeout time.Duration
	// Checkpoint is the file that the job is saved to, every CheckpointEvery; empty
	// for none. With RestoreOnLoss it goes on from there when a node is lost.
	Checkpoint      string
	CheckpointEvery time.Duration
	RestoreOnLoss   bool
	// PutBack has a restore undo first what the program appended to its files
	// after the checkpoint, and then tell a person this; empty for not.
	PutBack string
	// On is the node every thread lives at from the first instruction; -1
	// when nobody asked.
	On int
	// Spread sends new threads round-robin over the nodes.
	Spread bool
	// Follow makes child processes that live for a while jobs of the same family, with
	// their threads where On and Spread would have a new thread.
	Follow bool
	// StatsFile receives one JSON document at exit; empty for none.
	StatsFile string
	// Name is the name a person gave the job; may be empty.
	Name string
	// LogFile receives the supervisors' own log; empty for none.
	LogFile string
	// ABI is the family of popcorn system call numbers: "" for 900 to 905,
	// "4.4" or "rfc" for the older ones.
	ABI string
	// Baseline is the level of processor (guest.Baselines) that the program may
	// use; empty for all of this one.
	Baseline string
	// IdlePoll holds the CPU latency request while the job runs, so that idle
	// processors poll instead of halting.
	IdlePoll bool
	// Verify names the costly assertions to turn on: "" or "all".
	Verify string
	// ForeignFrom is for tests: nodes from this number on take the origin for
	// another machine; 0 for none.
	ForeignFrom int
}

// CheckBaseline tells what is wrong with the name of a baseline for a program
// that is started here.
func CheckBaseline(name string) error {
	b, err := guest.ParseBaseline(name)
	if err != nil {
		return err
	}
	return b.Check(guest.ReadCPU())
}
