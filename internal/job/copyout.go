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

// copies is what the call n of a visitor brings along, and what it may write by copies: to
// memory of the program that is known here, and can be had alone.
func (r *remote) copies(n sys.Notif) (pieces []piece, out []promised) {
	reads, writes := syscalls.CopiedIn(n.Nr, n.Args), syscalls.CopiedOut(n.Nr, n.Args)
	writes = slices.DeleteFunc(writes, func(w syscalls.Result) bool {
		a := vm.Addr(n.Args[w.Arg])
		// An array of many fields is many places.
		if a != 0 && w.Size > 0 && w.Size <= maxCopied && (w.Field.Step == 0 || w.Size <= maxFields*uint64(w.Field.Step)) && r.mayWrite(a, int(w.Size)) {
			return false
		}
		reads = slices.DeleteFunc(reads, func(b syscalls.Buffer) bool { return b.Arg == w.Arg })
		return true
	})
	pieces, r.arena = copiesOf(r, r.arena[:0], reads, n.Args)
	for _, w := range writes {
		i := slices.IndexFunc(pieces, func(p piece) bool { return p.of < 0 && int(p.at) == w.Arg })
		if i < 0 {
			if slices.ContainsFunc(reads, func(b syscalls.Buffer) bool { return b.Arg == w.Arg }) {
				continue // what it is to read is not here
			}
			i = len(pieces)
			pieces = append(pieces, piece{of: -1, at: uint32(w.Arg), skew: uint16(n.Args[w.Arg] % vm.PageSize)})
		}
		pieces[i].out, pieces[i].result = uint32(w.Size), w
		out = append(out, promised{Result: w, addr: vm.Addr(n.Args[w.Arg])})
	}
	return pieces, out
}

// maxFields is the longest array that a call writes fields of by a copy.
const maxFields = 64

// mayWrite tells whether the program can write the n bytes at a, so far as is known here.
func (r *remote) mayWrite(a vm.Addr, n int) bool {
	end := a + vm.Addr(n)
	if end < a { // the program may have any number for an address
		return false
	}
	for at := a; at < end; {
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
		list = p.deposits(list, payload[:n])
		payload = payload[n:]
	}
	if len(payload) > 0 {
		return nil, fmt.Errorf("split what a call wrote, %d bytes too much: %w", len(payload), sys.EINVAL)
	}
	return list, nil
}

// deposits adds to list what data, the first bytes of p's copy, has for the program.
func (p *promised) deposits(list []deposit, data []byte) []deposit {
	f := p.Field
	if f.Step == 0 {
		if len(data) > 0 {
			list = append(list, deposit{p.addr, data})
		}
		return list
	}
	for at := int(f.At); at+int(f.Len) <= len(data); at += int(f.Step) {
		list = append(list, deposit{p.addr + vm.Addr(at), data[at : at+int(f.Len)]})
	}
	return list
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

// filled is a promise kept: data is what the call wrote.
type filled struct {
	promised
	data []byte
}

// copiedOut is what the call that t's shadow has made wrote to copies, when it returned ret.
// The data are the copies, until unload.
func (o *origin) copiedOut(t *thread, ret uint64) []filled {
	var list []filled
	for _, p := range t.copied.out {
		if n := int(p.Written(ret)); n > 0 {
			list = append(list, filled{p, t.copied.mem[p.at : p.at+n]})
		}
	}
	return list
}

// deliver has home put in place what call c wrote, then calls done. Until then the call has
// not ended. Memory that is gone by now, or read-only, was there when it was written.
func (o *origin) deliver(t *thread, c *call, written []filled, done func()) {
	var list []deposit
	for _, w := range written {
		list = w.deposits(list, slices.Clone(w.data))
	}
	c.delivering = true
	o.deliverNext(t, c, list, done)
}

// deliverWritten is deliver for a call that a signal found done, or has interrupted.
func (o *origin) deliverWritten(t *thread) {
	c := t.call
	if c == nil || !c.done || c.delivering {
		return
	}
	written := o.copiedOut(t, c.ret)
	if len(written) == 0 {
		return
	}
	o.deliver(t, c, written, func() {
		if ctx := t.ctx; c.interrupted && t.where == homeIn {
			t.ctx = nil
			o.returnedForSignal(t, ctx, returnRecalled, 0)
		} else if !c.interrupted {
			o.callOver(t, c.ret, nil)
		}
	})
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
	for i := range list {
		list[i].data = slices.Clone(list[i].data)
	}
	c := &call{done: true, ret: ret, remote: true, delivering: true}
	t.call = c
	if t.where == away {
		t.to(calling)
	}
	o.deliverNext(t, c, list, func() { o.callOver(t, ret, nil) })
	return nil
}

// tell sends the result of t's call to its node.
func (o *origin) tell(t *thread, ret uint64, written []filled) {
	h := wire.Header{Type: wire.TCallResult, ID: uint64(t.tid), Addr: ret}
	var payload [][]byte
	for _, w := range written {
		h.Flags = flagCopiedOut
		payload = append(payload, w.data)
	}
	o.send(t.node, h, payload...)
}
