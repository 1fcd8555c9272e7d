package job

import (
	"encoding/binary"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
)

// maxNodes is how many nodes the program's interface can name (NODES in the
// original's <uapi/popcorn>).
const maxNodes = 32

// popcornTrap handles a popcorn call made at home: it is skipped and answered.
func (o *origin) popcornTrap(t *thread, nr int, r *sys.Regs) {
	if o.leavesAtOnce(t, nr, r) || o.forksAway(t, nr, r) {
		return
	}
	if err := o.proc.Skip(t.tid, 0); err != nil {
		o.logf("skip popcorn call: %v", err)
		return
	}
	t.inside = false
	ctx, err := guest.Save(t.tid)
	if err != nil {
		o.logf("popcorn call: %v", err)
		return
	}
	ctx.Regs.Rdi, ctx.Regs.Rsi, ctx.Regs.Rdx = r.Rdi, r.Rsi, r.Rdx
	t.errand = false
	o.popcornCall(t, nr, ctx, t.place) // an errand to home is nothing to be told of
}

// leavesAtOnce sends t away from the very stop of its call, when the call is a
// plain migration and nothing is in its way; false when it must be made in steps.
func (o *origin) leavesAtOnce(t *thread, nr int, r *sys.Regs) bool {
	call, _ := o.abi.Popcorn(nr)
	n := coherence.NodeID(uint32(r.Rdi))
	if call != syscalls.Migrate || r.Rsi != 0 || int32(r.Rdi) <= 0 || !o.canLeave(t, n) {
		return false
	}
	ctx, err := guest.SaveWith(t.tid, r)
	if err != nil {
		return false
	}
	ctx.Result(0)
	t.proposed, t.place, t.since = -1, n, sys.Monotonic()
	t.to(leaving)
	t.node = n
	if err := o.sendAs(t, n, ctx); err != nil {
		o.logf("thread %d cannot leave: %v", t.tid, err) // it is dying
	}
	return true
}

// popcornCall makes a popcorn call of the stopped thread t, whose user state
// after the call is ctx and which made it at node from.
func (o *origin) popcornCall(t *thread, nr int, ctx *guest.Context, from coherence.NodeID) {
	t.own = true
	call, _ := o.abi.Popcorn(nr)
	a := [3]uint64{ctx.Regs.Rdi, ctx.Regs.Rsi, ctx.Regs.Rdx}
	back := func(ret int64) { o.popcornDone(t, ctx, ret, from) }
	switch call {
	case syscalls.Migrate:
		o.migrateCall(t, ctx, int(int32(a[0])), a[1], from)
	case syscalls.ProposeMigration:
		back(o.propose(t, int(int32(a[0])), int(int32(a[1]))))
	case syscalls.Telefork:
		back(o.teleforkCall(t, int(int32(a[0])), a[1]))
	case syscalls.Checkpoint:
		o.checkpointCall(t, ctx, vm.Addr(a[0]), from)
	case syscalls.GetThreadStatus:
		o.threadStatus(t, vm.Addr(a[0]), from, back)
	case syscalls.GetNodeInfo:
		o.nodeInfo(vm.Addr(a[0]), vm.Addr(a[1]), a[2], from, back)
	}
}

// popcornDone lets t go on with the call's result where it made it.
func (o *origin) popcornDone(t *thread, ctx *guest.Context, ret int64, node coherence.NodeID) {
	t.own = false
	ctx.Result(uint64(ret))
	if node != coherence.Home && t.where == atHome && o.canLeave(t, node) {
		if t.since == 0 {
			t.since = sys.Monotonic()
		}
		t.to(leaving)
		t.node = node
		if err := o.sendAs(t, node, ctx); err != nil {
			o.logf("thread %d cannot leave: %v", t.tid, err) // it is dying
		}
		return
	}
	if err := ctx.Load(t.tid); err != nil {
		o.logf("load thread %d: %v", t.tid, err)
		return
	}
	if node == coherence.Home {
		t.refused = nil
		o.resume(t, 0)
		return
	}
	o.depart(t, node)
}

func (o *origin) migrateCall(t *thread, ctx *guest.Context, nid int, uregs uint64, from coherence.NodeID) {
	back := func(e sys.Errno) { o.popcornDone(t, ctx, -int64(e), from) }
	if nid == -1 {
		nid = t.proposed
	}
	switch {
	case nid < 0 || nid >= maxNodes:
		back(sys.EINVAL)
		return
	case coherence.NodeID(nid) == from:
		back(sys.EBUSY)
		return
	case nid != 0 && (o.nodes[coherence.NodeID(nid)] == nil || o.nodes[coherence.NodeID(nid)].failed != nil):
		back(sys.EAGAIN)
		return
	}
	t.proposed = -1
	t.since = sys.Monotonic()
	to := coherence.NodeID(nid)
	t.place = to
	t.refused = func() { o.popcornDone(t, ctx, -int64(sys.EAGAIN), from) }
	if uregs == 0 {
		o.popcornDone(t, ctx, 0, to)
		return
	}
	before := ctx.Clone()
	t.refused = func() { o.popcornDone(t, before, -int64(sys.EAGAIN), from) }
	o.peek(vm.Addr(uregs), uregsSize, func(b []byte, err error) {
		if err != nil {
			t.place, t.refused = from, nil
			back(sys.EFAULT)
			return
		}
		setUregs(ctx, b)
		o.popcornDone(t, ctx, 0, to)
	})
}

// uregsSize is the part of the original's register set that names general
// registers: rip, rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15; then mmx
// and xmm; st, the segments and the flags follow.
const (
	uregsXMM   = 17*8 + 8*8
	uregsFlags = uregsXMM + 16*16 + 8*16 + 6*4
	uregsSize  = uregsFlags + 8
	// xsaveXMM is where XSAVE's legacy area holds xmm0 (Intel SDM 1, 13.4.1).
	xsaveXMM = 160
)

// setUregs replaces the registers that the caller gave by those in b; what b
// does not hold (upper vector halves) stays as it is.
func setUregs(ctx *guest.Context, b []byte) {
	r := &ctx.Regs
	for i, f := range []*uint64{&r.Rip, &r.Rax, &r.Rdx, &r.Rcx, &r.Rbx, &r.Rsi, &r.Rdi, &r.Rbp, &r.Rsp,
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15} {
		*f = binary.LittleEndian.Uint64(b[8*i:])
	}
	const userFlags = 0xcd5 // CF PF AF ZF SF DF OF
	if flags := binary.LittleEndian.Uint64(b[uregsFlags:]); flags != 0 {
		r.Eflags = r.Eflags&^userFlags | flags&userFlags
	}
	if len(ctx.XState) >= xsaveXMM+256 {
		copy(ctx.XState[xsaveXMM:], b[uregsXMM:uregsXMM+256])
	}
}

func (o *origin) propose(t *thread, tid, nid int) int64 {
	if nid < -1 || nid >= maxNodes {
		return -int64(sys.EINVAL)
	}
	target := t
	if tid != 0 {
		if target = o.threads[tid]; target == nil {
			return -int64(sys.ENOENT)
		}
	}
	target.proposed = nid
	return 0
}

func (o *origin) threadStatus(t *thread, at vm.Addr, from coherence.NodeID, back func(int64)) {
	words := []int32{int32(from), int32(t.proposed), -1, -1}
	if from != coherence.Home {
		words[2], words[3] = int32(coherence.Home), int32(t.tid)
	}
	if o.cfg.Spec.ABI == "rfc" {
		words = append(words[:1], words[2:]...)
	}
	o.poke(at, int32s(words), func(err error) { back(invalidUnless(err)) })
}

func (o *origin) nodeInfo(myNid, info vm.Addr, length uint64, from coherence.NodeID, back func(int64)) {
	n := maxNodes
	if o.cfg.Spec.ABI == "rfc" {
		n = int(min(length, maxNodes))
	}
	var words []int32
	for i := range n {
		online, arch := int32(0), int32(-1)
		if st := o.nodes[coherence.NodeID(i)]; i == 0 || st != nil && st.failed == nil {
			online, arch = 1, 1 // x86-64
		}
		words = append(words, online, arch, 0)
	}
	o.poke(myNid, int32s([]int32{int32(from)}), func(err error) {
		if err != nil {
			back(invalidUnless(err))
			return
		}
		o.poke(info, int32s(words), func(err error) { back(invalidUnless(err)) })
	})
}

// invalidUnless: a bad pointer is EINVAL in the original.
func invalidUnless(err error) int64 {
	if err != nil {
		return -int64(sys.EINVAL)
	}
	return 0
}

func int32s(words []int32) []byte {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, uint32(w))
	}
	return b
}
