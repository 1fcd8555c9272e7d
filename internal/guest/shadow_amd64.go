package guest

import (
	"fmt"

	"popcorn/internal/sys"
)

// Park sends the stopped thread tid, which has registers r, into the agent's loop
// as the shadow of slot: there it waits for forwarded calls with the signal mask
// it has. In the stop of a seccomp event it takes the place of the call.
func (p *Process) Park(tid, slot int, r sys.Regs) error {
	r.Rip, r.Rbx, r.Orig_rax = label(offShadow), uint64(SlotAddr(slot)), ^uint64(0)
	if err := sys.SetRegs(tid, &r); err != nil {
		return fmt.Errorf("write registers of %d: %w", tid, err)
	}
	return nil
}

// ShadowState is where a shadow was stopped.
type ShadowState uint8

const (
	ShadowElsewhere ShadowState = iota // not in the agent's loop
	ShadowIdle                         // waiting, or about to begin a command
	ShadowCalling                      // inside the forwarded call, interrupted
	ShadowCalled                       // the call has ended, the doorbell not been answered
)

// Shadow tells where the stopped shadow is, by its registers alone. For
// ShadowCalling, and for ShadowCalled, ret is the call's result as the kernel
// left it (possibly one of the kernel's restart codes, -512 to -516).
func Shadow(r *sys.Regs) (state ShadowState, ret uint64) {
	if r.Rip < label(offShadow) || r.Rip > label(offShadowRung) {
		return ShadowElsewhere, 0
	}
	switch {
	case r.Rip == label(offShadowCalled) && int64(r.Orig_rax) >= 0:
		return ShadowCalling, r.Rax
	case r.Rip == label(offShadowCalled):
		return ShadowCalled, r.Rax
	case r.Rip > label(offShadowCalled) && r.Rip < label(offShadowRing):
		return ShadowCalled, r.Rax
	case r.Rip == label(offShadowRung) && r.Rax == 0:
		return ShadowIdle, 0 // the doorbell has been answered: what is posted now is another call
	case r.Rip >= label(offShadowRing):
		return ShadowCalled, r.Rsi
	}
	return ShadowIdle, 0
}

// AboutToCall tells whether the stopped shadow stands before the instruction
// that makes its call, be it that the kernel has set it back there.
func AboutToCall(r *sys.Regs) bool { return r.Rip == label(offShadowCall) }
