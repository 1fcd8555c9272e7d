package job

import (
	"encoding/binary"
	"fmt"
	"slices"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
	"popcorn/internal/wire"
)

// What a forwarded call writes, home's kernel writes to memory that only home has, and the
// result brings it along. Its node puts it in place where it has the pages alone by then,
// for which it asks when it forwards the call. Otherwise home does. In any case the call has
// not returned before.

// flagCopiedOut of a TCallResult: what the call has written follows, one piece after the
// other.
const flagCopiedOut = 1

// promised is a place of the program that a call is to write.
type promised struct {
	syscalls.Result
	addr vm.Addr
	at   int // where its copy is
}

// deposit is bytes that belong at addr.
type deposit struct {
	addr vm.Addr
	data []byte
}

// resultsOf is what a call of v may write by copies: to memory of the program that is known
// here, and can be had alone.
func (r *remote) resultsOf(n sys.Notif) (pieces []piece, out []promised) {
	for _, res := range syscalls.CopiedOut(n.Nr, n.Args) {
		a := vm.Addr(n.Args[res.Arg])
		if a == 0 || res.Size == 0 || res.Size > maxCopied || !r.mayWrite(a, int(res.Size)) {
			continue
		}
		pieces = append(pieces, piece{of: -1, at: uint32(res.Arg), skew: uint16(a % vm.PageSize), out: uint32(res.Size), per: uint16(res.Per)})
		out = append(out, promised{Result: res, addr: a})
	}
	return pieces, out
}

// mayWrite tells whether the program can write the n bytes at a, so far as is known here.
func (r *remote) mayWrite(a vm.Addr, n int) bool {
	for at, end := a, a+vm.Addr(n); at < end; {
		m, ok := r.mapped.Find(at)
		if !ok || m.Prot&vm.ProtWrite == 0 {
			return false
		}
		at = m.End
	}
	return true
}

// want asks for the pages of out that are not here to be written.
func (r *remote) want(out []promised) {
	for _, p := range out {
		pages := vm.Range{Start: p.addr, End: p.addr + vm.Addr(p.Size)}.Pages()
		for at := pages.First; at < pages.End(); {
			mode, n := r.pager.Machine().Mode(at), uint32(1)
			for at+vm.Page(n) < pages.End() && r.pager.Machine().Mode(at+vm.Page(n)) == mode {
				n++
			}
			if mode != coherence.Exclusive {
				r.pager.Want(at, n)
			}
			at += vm.Page(n)
		}
	}
}

// put puts what a call has written in place, if this node has all the pages alone.
func (r *remote) put(list []deposit) bool {
	for _, d := range list {
		if !r.mayWrite(d.addr, len(d.data)) {
			return false
		}
		pages := vm.Range{Start: d.addr, End: d.addr + vm.Addr(len(d.data))}.Pages()
		for p := pages.First; p < pages.End(); p++ {
			if r.pager.Machine().Mode(p) != coherence.Exclusive {
				return false
			}
		}
	}
	for _, d := range list {
		if _, err := sys.Pwrite(r.stub.Memory, d.data, int64(d.addr)); err != nil {
			r.fail(fmt.Errorf("write %d bytes at %v: %w", len(d.data), d.addr, err))
			break
		}
	}
	return true
}

// split is the payload of a result by where it belongs.
func split(out []promised, ret uint64, payload []byte) ([]deposit, error) {
	var list []deposit
	for _, p := range out {
		n := p.Written(ret)
		if n > uint64(len(payload)) {
			return nil, fmt.Errorf("split %d bytes that a call wrote: %w", len(payload), sys.EINVAL)
		}
		if n > 0 {
			list = append(list, deposit{p.addr, payload[:n]})
		}
		payload = payload[n:]
	}
	if len(payload) > 0 {
		return nil, fmt.Errorf("split what a call wrote, %d bytes too much: %w", len(payload), sys.EINVAL)
	}
	return list, nil
}

// encodeDeposits is deposits as a frame's payload.
func encodeDeposits(list []deposit) []byte {
	var b []byte
	for _, d := range list {
		b = binary.LittleEndian.AppendUint64(b, uint64(d.addr))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.data)))
		b = append(b, d.data...)
	}
	return b
}

// decodeDeposits refuses what no program has memory at. The data are of b.
func decodeDeposits(b []byte) ([]deposit, error) {
	var list []deposit
	for len(b) > 0 {
		if len(b) < 12 {
			return nil, fmt.Errorf("decode deposits: %w", sys.EINVAL)
		}
		d := deposit{addr: vm.Addr(binary.LittleEndian.Uint64(b))}
		n := binary.LittleEndian.Uint32(b[8:])
		b = b[12:]
		r := vm.Range{Start: d.addr, End: d.addr + vm.Addr(n)}
		if n == 0 || n > maxCopied || uint64(n) > uint64(len(b)) || r.End > userEnd || r.Empty() || r.Overlaps(guest.AgentRange()) {
			return nil, fmt.Errorf("decode deposit at %v: %w", d.addr, sys.EINVAL)
		}
		d.data, b = b[:n:n], b[n:]
		list = append(list, d)
	}
	return list, nil
}

// copiedOut is what the call that t's shadow has made wrote to copies, when it returned ret.
// The data are the copies, until unload.
func (o *origin) copiedOut(t *thread, ret uint64) []deposit {
	if failed(ret) {
		return nil
	}
	var list []deposit
	for _, p := range t.copied.out {
		if n := p.Written(ret); n > 0 {
			list = append(list, deposit{p.addr, t.copied.mem[p.at : p.at+int(n)]})
		}
	}
	return list
}

// deliver has home put in place what call c wrote, then calls done. Until then the call has
// not ended. Memory that is gone by now, or read-only, was there when it was written.
func (o *origin) deliver(t *thread, c *call, list []deposit, done func()) {
	kept := make([]deposit, len(list))
	for i, d := range list {
		kept[i] = deposit{d.addr, slices.Clone(d.data)}
	}
	c.delivering = true
	o.deliverNext(t, c, kept, done)
}

func (o *origin) deliverNext(t *thread, c *call, list []deposit, done func()) {
	switch {
	case t.where == gone || t.call != c: // perhaps with its program
	case len(list) == 0:
		c.delivering = false
		done()
	default:
		o.poke(list[0].addr, list[0].data, func(error) {
			o.loop.post(func() { o.deliverNext(t, c, list[1:], done) })
		})
	}
}

// hasWritten tells whether t's shadow, which stands stopped, has made a call that wrote to
// copies, which nobody has heard of yet.
func (o *origin) hasWritten(t *thread) bool {
	var r sys.Regs
	if len(t.copied.out) == 0 || sys.GetRegs(t.tid, &r) != nil {
		return false
	}
	state, ret := guest.Shadow(&r)
	ended := state == guest.ShadowCalled || state == guest.ShadowCalling && !restarting(&r)
	return ended && len(o.copiedOut(t, ret)) > 0
}

// undelivered takes what t's node could not put in place when its call returned ret.
func (o *origin) undelivered(t *thread, ret uint64, payload []byte) error {
	list, err := decodeDeposits(payload)
	if err != nil {
		return err
	}
	if t.call != nil || t.where != away && t.where != recalled {
		return errProtocol
	}
	c := &call{done: true, ret: ret, remote: true}
	t.call = c
	if t.where == away {
		t.to(calling)
	}
	o.deliver(t, c, list, func() { o.callOver(t, ret, nil) })
	return nil
}

// tell sends the result of t's call to its node.
func (o *origin) tell(t *thread, ret uint64, list []deposit) {
	h := wire.Header{Type: wire.TCallResult, ID: uint64(t.tid), Addr: ret}
	var payload [][]byte
	for _, d := range list {
		h.Flags = flagCopiedOut
		payload = append(payload, d.data)
	}
	o.send(t.node, h, payload...)
}
