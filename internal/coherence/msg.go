package coherence

import (
	"fmt"
	"time"

	"popcorn/internal/vm"
)

// NodeID numbers a node of a job, from 0.
type NodeID uint16

// Home is the node that keeps the directory.
const Home NodeID = 0

func (n NodeID) String() string { return fmt.Sprintf("n%d", uint16(n)) }

// Access is what a thread wants to do with a page.
type Access uint8

const (
	Read Access = iota
	Write
)

func (a Access) String() string { return [...]string{"read", "write"}[a&1] }

// mode is the least a node must have for the access.
func (a Access) mode() Mode {
	if a == Read {
		return Shared
	}
	return Exclusive
}

// Mode is what a node has of a page. A higher mode includes the lower ones.
type Mode uint8

const (
	Invalid   Mode = iota // nothing: any access faults
	Shared                // a copy, write-protected
	Exclusive             // the only copy, writable
)

func (m Mode) String() string {
	return [...]string{"invalid", "shared", "exclusive", "mode3"}[m&3]
}

// Kind tells what a message says.
type Kind uint8

const (
	_           Kind = iota
	Request          // node to home: I want Mode of Page, and up to N pages from there
	Fetch            // home to holder: send N pages to Node, which gets Mode
	Grant            // home or holder to requester: here are N pages, you have Mode
	Upgrade          // home to requester: you have the bytes, now you have Exclusive
	Invalidate       // home to holder: drop N pages
	Invalidated      // holder to home: dropped
	Installed        // requester to home: N pages are in place, unlock them
	Settled          // home to requester: you have it already; fault again
	NoMapping        // home to requester: there is no memory at Page
	Gone             // holder to home, instead of a Grant: I do not have all of that
	Unplaced         // requester to home, instead of Installed or much later: I had no mapping for these N pages
	lastKind
)

var kindNames = [...]string{"?", "Request", "Fetch", "Grant", "Upgrade", "Invalidate",
	"Invalidated", "Installed", "Settled", "NoMapping", "Gone", "Unplaced"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind%d", uint8(k))
}

// Flags of a message.
const (
	Zero    uint8 = 1 << iota // of a Grant: every page is zero and no payload follows
	Unasked                   // of a Fetch, Grant or Upgrade: it answers no Request
	Copied                    // of a Request: I have a copy already
	Confirm                   // of home's Grant or Upgrade: answer with Installed
)

// Msg is a message between two machines. All its fields have a fixed size.
type Msg struct {
	Kind  Kind
	Mode  Mode
	Flags uint8
	Node  NodeID // of a Fetch: who gets the data; of a Grant of zeros: how many pages into it the asked one lies
	Page  vm.Page
	N     uint32 // pages from Page on
	ID    uint64 // the directory's transaction; 0 in a Request
}

// HasData tells whether N pages of payload follow the message.
func (m Msg) HasData() bool { return m.Kind == Grant && m.Flags&Zero == 0 }

func (m Msg) run() vm.Run { return vm.Run{First: m.Page, N: m.N} }

func (m Msg) String() string {
	s := fmt.Sprintf("%v %v", m.Kind, m.run())
	switch m.Kind {
	case Request, Grant:
		s += " " + m.Mode.String()
	case Fetch:
		s += fmt.Sprintf(" %v for %v", m.Mode, m.Node)
	}
	if m.Flags&Zero != 0 {
		s += " zero"
	}
	if m.Flags&Unasked != 0 {
		s += " unasked"
	}
	if m.Flags&Copied != 0 {
		s += " copied"
	}
	if m.Flags&Confirm != 0 {
		s += " confirm"
	}
	if m.ID != 0 {
		s += fmt.Sprintf(" #%d", m.ID)
	}
	return s
}

// Config is what a machine must know at birth.
type Config struct {
	Self   NodeID
	MaxRun uint32 // most pages with data in one grant; 0 means 64
	// HoldBase is how long a node keeps a page after it got it before home takes
	// it away; contention doubles it up to HoldMax. 0 turns the rule off.
	HoldBase, HoldMax time.Duration
	// Idle, at home, may be nil. It tells that no thread runs at a node, so that
	// pages need not be kept for it.
	Idle   func(NodeID) bool
	Verify bool // check what every step touched, now and then everything, and panic on a breach
	// MaxPending bounds the requests one remote node may have at home at a
	// time; more are dropped as protocol errors. 0 means 8192.
	MaxPending int
	// Untouched, at home, may be nil. It is asked before a write grant of p when
	// the directory knows nothing of p's chunk. It answers with a run around p
	// that no thread has ever touched; the shell must have made sure that home
	// faults on it from now on, before it looked.
	Untouched func(p vm.Page) (vm.Run, bool)
}
