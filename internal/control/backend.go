package control

import (
	"context"
	"encoding/json"
	"time"

	"popcorn/internal/image"
)

// Backend does what is asked of one job. Every method may be called from
// several goroutines at once and returns soon after its context ends.
type Backend interface {
	Info(ctx context.Context) (Info, error)
	// Migrate moves the threads tids (none means all of the job) to node.
	// With wait it returns when they have arrived.
	Migrate(ctx context.Context, tids []int, node int, wait bool) error
	// Kill sends the signal with number sig to the whole job.
	Kill(ctx context.Context, sig int) error
	// Detach brings everything home and lets the program go.
	Detach(ctx context.Context) error
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Inspect returns everything known about the job, one JSON document.
	Inspect(ctx context.Context) (json.RawMessage, error)
	// Wait returns the exit code of the program, 128+N for signal N, when it
	// has ended.
	Wait(ctx context.Context) (exitCode int, err error)
	// Checkpoint saves the whole job to a file.
	Checkpoint(ctx context.Context, r Checkpoint) (Checkpointed, error)
}

// Checkpoint says what is wanted of a checkpoint.
type Checkpoint struct {
	// File is the absolute name of the image; written by the job's user.
	File string `json:"file,omitempty"`
	// Check only asks for the obstacles.
	Check bool `json:"check,omitempty"`
	// Kill ends the program when the image is on the disk.
	Kill bool `json:"kill,omitempty"`
}

// Checkpointed tells how a checkpoint went. With obstacles nothing was done.
type Checkpointed struct {
	Version   int              `json:"version"`
	Obstacles []image.Obstacle `json:"obstacles"`
	Bytes     uint64           `json:"bytes"`
	// StoppedMS is how long the program stood still, TookMS the whole, in
	// milliseconds.
	StoppedMS float64 `json:"stopped_ms"`
	TookMS    float64 `json:"took_ms"`
}

// States of a job and of a node's line.
const (
	StateRunning = "running"
	StateStopped = "stopped"
	StateEnded   = "ended"
)

// Info is what a job tells about itself. Its JSON form is stable: Version
// grows when a field changes its meaning.
type Info struct {
	Version int          `json:"version"`
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Family  string       `json:"family,omitempty"` // id of the job it was teleforked from, first of all
	PID     int          `json:"pid"`
	Command []string     `json:"command"`
	State   string       `json:"state"`
	Started time.Time    `json:"started"`
	Nodes   []NodeInfo   `json:"nodes"`
	Threads []ThreadInfo `json:"threads"`
}

// NodeInfo is one node of a job; Threads counts the job's threads there.
type NodeInfo struct {
	NID     int    `json:"nid"`
	Name    string `json:"name"`
	Addr    string `json:"addr"`
	State   string `json:"state"`
	Arch    string `json:"arch"`
	Threads int    `json:"threads"`
}

// ThreadInfo is one thread of a job. State is "migrating" while it is on its
// way; Node is then where it is expected.
type ThreadInfo struct {
	TID   int    `json:"tid"`
	Node  int    `json:"node"`
	State string `json:"state"`
	Comm  string `json:"comm"`
}

// ThreadMigrating is the ThreadInfo.State of a thread between two nodes.
const ThreadMigrating = "migrating"
