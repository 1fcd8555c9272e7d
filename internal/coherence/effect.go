package coherence

import (
	"fmt"

	"popcorn/internal/vm"
)

// EffectKind tells what the shell has to do.
type EffectKind uint8

const (
	_              EffectKind = iota
	Send                      // send Msg to To
	SendData                  // do Op on N pages from Page, send Msg with their bytes to To
	Install                   // put the payload of the message being received at Page, in Mode
	InstallZero               // put N zero pages at Page, in Mode
	Unprotect                 // make N pages writable and wake their waiters
	Drop                      // zap N pages without reading them
	Wake                      // nothing changes: see doc.go, "Wake"
	SignalUnmapped            // no memory at Page: give the waiting threads their signal
	Held                      // the hold ID is complete
)

var effectNames = [...]string{"?", "Send", "SendData", "Install", "Zero", "Unprotect",
	"Drop", "Wake", "NoMapping", "Held"}

func (k EffectKind) String() string { return effectNames[k] }

// Op is what to do with pages whose bytes are sent.
type Op uint8

const (
	Copy      Op = iota // read; they are write-protected already
	Downgrade           // write-protect, then read
	Take                // write-protect, read, zap
)

func (o Op) String() string { return [...]string{"copy", "downgrade", "take", "?"}[o&3] }

// Effect is something the shell must do, in the order given by Drain. The bytes
// of a SendData that were never written locally are zeros; when all are, the
// shell may set the Zero flag of Msg and send no payload.
type Effect struct {
	Kind EffectKind
	Op   Op
	Mode Mode // of Install, InstallZero, Wake: what this node now has
	Was  Mode // of SendData: what this node had
	To   NodeID
	Page vm.Page
	N    uint32
	ID   uint64 // of Held: the hold's; of what puts a grant in place: the transaction's
	Msg  Msg
}

func (e Effect) run() vm.Run { return vm.Run{First: e.Page, N: e.N} }

// mayFail tells whether e puts a grant in place, which is confirmed next.
func (e Effect) mayFail() bool {
	return e.Kind == Install || e.Kind == InstallZero || e.Kind == Unprotect
}

func (e Effect) String() string {
	switch e.Kind {
	case Send:
		return fmt.Sprintf("%v to %v: %v", e.Kind, e.To, e.Msg)
	case SendData:
		return fmt.Sprintf("%v to %v (%v): %v", e.Kind, e.To, e.Op, e.Msg)
	case Install, InstallZero, Wake:
		return fmt.Sprintf("%v %v %v", e.Kind, e.run(), e.Mode)
	case Held:
		return fmt.Sprintf("%v %d", e.Kind, e.ID)
	}
	return fmt.Sprintf("%v %v", e.Kind, e.run())
}
