package job

import (
	"errors"

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
// meanwhile, which a thread that is stepped may not live to see. After stepsAtOnce
// it runs until it can be stopped, which will be somewhere else in them; after
// mostSteps it stays, for now. So it is steps that are counted, and no time.
const (
	stepsAtOnce = 400
	mostSteps   = 100 * stepsAtOnce
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
	if t.steps++; t.steps > mostSteps {
		o.stay(t, errInVDSO)
		return true
	}
	t.to(atHome)
	t.node = coherence.Home
	if !t.stepsOut() {
		t.onStop = append(t.onStop, func() { o.goBack(t) })
	}
	o.resume(t, 0)
	return true
}

// stepsOut tells whether t is to make a single step.
func (t *thread) stepsOut() bool { return t.steps%stepsAtOnce != 0 }
