package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// protocolVersion is the number in every request and reply.
const protocolVersion = 1

const (
	maxRequest = 256 << 10 // bytes in a request line: some 30,000 thread ids
	maxReply   = 64 << 20  // bytes in a reply line: an inspection of a large job

	requestTimeout = 5 * time.Second  // from the connection to the whole request
	writeTimeout   = 5 * time.Second  // for a line the other side should be reading
	defaultTimeout = 30 * time.Second // for a call that names none
)

// Operations, as named on the wire.
const (
	opHello   = "hello"
	opInfo    = "info"
	opMigrate = "migrate"
	opKill    = "kill"
	opDetach  = "detach"
	opPause   = "pause"
	opResume  = "resume"
	opInspect = "inspect"
	opWait    = "wait"

	opCheckpoint = "checkpoint"
)

// request is one call. TimeoutMS bounds it at the server; 0 means the default,
// except for wait, which ends with the job or the caller's connection.
type request struct {
	V         int    `json:"v"`
	Op        string `json:"op"`
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
	TIDs      []int  `json:"tids,omitempty"`
	Node      int    `json:"node,omitempty"`
	Wait      bool   `json:"wait,omitempty"`
	Sig       int    `json:"sig,omitempty"`

	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
}

type reply struct {
	V      int             `json:"v"`
	Error  *remoteError    `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// readLine reads one line of at most limit bytes and decodes it into v.
func readLine(r io.Reader, limit int64, v any) error {
	br := bufio.NewReader(io.LimitReader(r, limit))
	line, err := br.ReadBytes('\n')
	if errors.Is(err, io.EOF) && int64(len(line)) >= limit {
		return fmt.Errorf("read line: longer than %d bytes: %w", limit, ErrMalformed)
	}
	if err != nil {
		return fmt.Errorf("read line: %w", err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("decode line: %v: %w", err, ErrMalformed)
	}
	return nil
}

// writeLine encodes v as one line. json.Marshal writes no newline of its own.
func writeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	return nil
}
