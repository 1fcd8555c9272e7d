package job

import (
	"errors"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// A thread that is inside the vDSO may have read half of what the time is from
// pages that a foreign node has not, and would read the other half there.

// tied tells whether a thread with registers r must not run on at node n.
func (o *origin) tied(n coherence.NodeID, r *sys.Regs) bool {
	st := o.nodes[n]
	return st != nil && st.foreign && o.vdso.Contains(vm.Addr(r.Rip))
}

// The functions of the vDSO read until what they have read was not written
// meanwhile, which a thread that is stepped may not live to see: the kernel writes
// at every tick. So after stepsAtOnce it runs for a moment, to be found elsewhere;
// after mostSteps it stays, for now.
const (
	stepsAtOnce = 64
	mostSteps   = 500 * stepsAtOnce
	runsFree    = time.Millisecond
)

var errInVDSO = errors.New("it does not get out of the vDSO")

// stepOut gets t, which is about to leave for node n, out of the vDSO first; it
// tries again to leave then. False when there is nothing to do.
func (o *origin) stepOut(t *thread, n coherence.NodeID) bool {
	var r sys.Regs
	if err := sys.GetRegs(t.tid, &r); err != nil || !o.tied(n, &r) {
		t.steps = 0
		return false
	}
	t.steps++
	if !mayStep(t.tid) {
		t.steps = (t.steps + stepsAtOnce - 1) / stepsAtOnce * stepsAtOnce
	}
	if t.steps > mostSteps {
		o.stay(t, errInVDSO)
		return true
	}
	t.to(atHome)
	t.node = coherence.Home
	o.resume(t, 0)
	if !t.stepsOut() {
		o.loop.after(runsFree, func() {
			if t.where == atHome && t.steps > 0 {
				o.interrupt(t, func() { o.goBack(t) })
			}
		})
	}
	return true
}

// stepsOut tells whether t is to make a single step.
func (t *thread) stepsOut() bool { return t.steps%stepsAtOnce != 0 }

// mayStep tells whether the stopped thread can be single-stepped: a trap that the
// program blocks takes its handler for SIGTRAP away (force_sig_info_to_task,
// kernel/signal.c).
func mayStep(tid int) bool {
	mask, err := sys.GetSigMask(tid)
	return err != nil || !has(mask, sys.SIGTRAP)
}
