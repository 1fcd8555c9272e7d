package guest

import (
	"errors"
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
	if r.Rip < label(offShadow) || r.Rip > label(offShadowKnocked) {
		return ShadowElsewhere, 0
	}
	switch {
	case r.Rip == label(offShadowCalled) && int64(r.Orig_rax) >= 0:
		return ShadowCalling, r.Rax
	case r.Rip == label(offShadowCalled):
		return ShadowCalled, r.Rax
	case r.Rip > label(offShadowCalled) && r.Rip < label(offShadowRing):
		return ShadowCalled, r.Rax
	case r.Rip == label(offShadowRung) && r.Rax == 0, r.Rip == label(offShadowKnocked):
		return ShadowIdle, 0 // the doorbell has been answered: what is posted now is another call
	case r.Rip >= label(offShadowRing):
		return ShadowCalled, r.R12
	}
	return ShadowIdle, 0
}

// AboutToCall tells whether the stopped shadow stands before the instruction
// that makes its call, be it that the kernel has set it back there.
func AboutToCall(r *sys.Regs) bool { return r.Rip == label(offShadowCall) }

// Knocked tells whether tid, stopped by SIGTRAP, is a shadow of a program without
// our filter that reports the result ret of its call. Its signal mask is put right.
func (p *Process) Knocked(tid, slot int) (ret uint64, ok bool, err error) {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil || r.Rip != label(offShadowKnocked) {
		return 0, false, err
	}
	return r.R12, true, sys.SetSigMask(tid, p.Slots.mask(slot))
}

// SettleKnock takes a shadow that was stopped just before its knock back to the
// doorbell, with its own signal mask: it may be given another's state there.
func (p *Process) SettleKnock(tid, slot int) error {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil || r.Rip != label(offShadowKnock) {
		return err
	}
	r.Rip, r.Rsi, r.Rdi = label(offShadowRing), r.R12, r.Rbx
	return errors.Join(sys.SetRegs(tid, &r), sys.SetSigMask(tid, p.Slots.mask(slot)))
}

// Rewind takes a thread from the entry of a system call to before it, without
// making it.
func (p *Process) Rewind(tid int, nr uint64) error {
	if err := p.Skip(tid, 0); err != nil {
		return err
	}
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return fmt.Errorf("read registers of %d: %w", tid, err)
	}
	CallAgain(&r, nr)
	if err := sys.SetRegs(tid, &r); err != nil {
		return fmt.Errorf("write registers of %d: %w", tid, err)
	}
	return nil
}
