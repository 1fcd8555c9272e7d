package job

import (
	"bytes"
	"encoding/binary"

	"popcorn/internal/coherence"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
)

// A forwarded call brings along what it reads of the program's memory, so far as its node
// has that: home's kernel would fetch page after page, and the thread take them back. It
// reads copies then, which stand in memory that only home has; it reads them as they were
// when the call was made, which is one of the moments at which it might have. What it writes
// there is brought to its place afterwards, see copyout.go.

// piece is a buffer of a call, with what points to it: to be read, or to be written.
type piece struct {
	of   int    // the piece before, from 0, that has the pointer; -1: it is an argument
	at   uint32 // which argument, or where in that piece
	skew uint16 // where in its page it lies: direct transfers care
	data []byte
	// out is how many bytes come back at the most; what of them result says, but for its
	// argument and size.
	out    uint32
	result syscalls.Result
}

func (p *piece) size() int { return max(len(p.data), int(p.out)) }

const (
	// maxCopied is the most bytes that a call brings along, or back by one pointer.
	maxCopied = 1 << 20
	// maxVector is the longest vector that a call brings along.
	maxVector = 64
	// maxPieces is what a call can have at most: a message with its three buffers and those
	// of its vector.
	maxPieces = 4 + maxVector
	// directAlign is what the kernel asks of buffers of direct transfers at the least.
	directAlign = 512
)

// Offsets in struct msghdr and struct iovec (linux/socket.h, linux/uio.h).
const (
	msghdrSize    = 56
	msgName       = 0
	msgNameLen    = 8
	msgIov        = 16
	msgIovLen     = 24
	msgControl    = 32
	msgControlLen = 40
	iovecSize     = 16
	iovecLen      = 8
)

// copyIn collects what a call reads.
type copyIn struct {
	memory guestMemory
	pieces []piece
	left   int // how much more may be brought along
	arena  []byte
}

// guestMemory is memory of a program as one node has it.
type guestMemory interface {
	// Peek fills b with what stands at a; false if not all of it is here, for the
	// program to read.
	Peek(b []byte, a vm.Addr) bool
}

// copiesOf is the pieces of buffers that a call reads, so far as they are here. Their data
// may be in arena, which is returned as it is then.
func copiesOf(m guestMemory, arena []byte, list []syscalls.Buffer, args [6]uint64) ([]piece, []byte) {
	c := copyIn{memory: m, left: maxCopied, arena: arena}
	for _, b := range list {
		a, at := args[b.Arg], uint32(b.Arg)
		switch b.Shape {
		case syscalls.Fixed:
			c.take(-1, at, a, b.Size)
		case syscalls.String:
			c.text(-1, at, a)
		case syscalls.Vector:
			c.vector(-1, at, a, b.Size)
		case syscalls.Message:
			c.message(at, a)
		}
	}
	return c.pieces, c.arena
}

// room is n bytes for data.
func (c *copyIn) room(n int) []byte {
	if cap(c.arena)-len(c.arena) < n {
		c.arena = make([]byte, 0, max(n, 2*cap(c.arena))) // what has data keeps the old one
	}
	at := len(c.arena)
	c.arena = c.arena[:at+n]
	return c.arena[at : at+n : at+n]
}

// take adds n bytes at a, to which piece of points at at, and returns the number of the
// new piece; -1 if they stay where they are.
func (c *copyIn) take(of int, at uint32, a, n uint64) int {
	if a == 0 || n == 0 || n > uint64(c.left) || a+n > uint64(userEnd) || a+n < a || len(c.pieces) == maxPieces {
		return -1
	}
	b := c.room(int(n))
	if !c.memory.Peek(b, vm.Addr(a)) {
		return -1
	}
	return c.add(of, at, a, b)
}

func (c *copyIn) add(of int, at uint32, a uint64, b []byte) int {
	c.left -= len(b)
	c.pieces = append(c.pieces, piece{of: of, at: at, skew: uint16(a % vm.PageSize), data: b})
	return len(c.pieces) - 1
}

// text adds the string at a, which may end before memory does that is not here.
func (c *copyIn) text(of int, at uint32, a uint64) {
	var text []byte
	for a != 0 && len(text) < syscalls.PathMax && a < uint64(userEnd) {
		b := make([]byte, min(vm.PageSize-(a+uint64(len(text)))%vm.PageSize, uint64(syscalls.PathMax-len(text))))
		if !c.memory.Peek(b, vm.Addr(a)+vm.Addr(len(text))) {
			return
		}
		if end := bytes.IndexByte(b, 0); end >= 0 {
			c.add(of, at, a, append(text, b[:end+1]...))
			return
		}
		text = append(text, b...)
	}
}

// vector adds n struct iovec at a, with their buffers.
func (c *copyIn) vector(of int, at uint32, a, n uint64) {
	if n > maxVector {
		return
	}
	v := c.take(of, at, a, n*iovecSize)
	if v < 0 {
		return
	}
	for i := range uint32(n) {
		e := c.pieces[v].data[iovecSize*i:]
		c.take(v, iovecSize*i, binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[iovecLen:]))
	}
}

// message adds the struct msghdr at a, with its name, its vector and its control data.
func (c *copyIn) message(at uint32, a uint64) {
	m := c.take(-1, at, a, msghdrSize)
	if m < 0 {
		return
	}
	h := c.pieces[m].data
	c.take(m, msgName, binary.LittleEndian.Uint64(h[msgName:]), uint64(binary.LittleEndian.Uint32(h[msgNameLen:])))
	c.vector(m, msgIov, binary.LittleEndian.Uint64(h[msgIov:]), binary.LittleEndian.Uint64(h[msgIovLen:]))
	c.take(m, msgControl, binary.LittleEndian.Uint64(h[msgControl:]), binary.LittleEndian.Uint64(h[msgControlLen:]))
}

// Peek implements guestMemory, by the law: what this node has no copy of may have become
// another since.
func (r *remote) Peek(b []byte, a vm.Addr) bool {
	end := a + vm.Addr(len(b))
	if end < a {
		return false
	}
	for at := a; at < end; at = at.Down() + vm.PageSize {
		m, ok := r.mapped.Find(at)
		if !ok || m.Prot&vm.ProtRead == 0 || r.pager.Machine().Mode(at.Page()) == coherence.Invalid {
			return false
		}
	}
	_, err := sys.PeekMemory(r.stub.Memory, b, int64(a))
	return err == nil
}

// layout gives each piece its place in a buffer, which has length bytes.
func layout(pieces []piece) (places []int, length int) {
	const together = 64 // as the program's own small structures may be aligned
	for _, p := range pieces {
		align := together
		if p.skew%directAlign == 0 && p.size() >= directAlign {
			align = vm.PageSize
		}
		length = (length+align-1)&^(align-1) + int(p.skew)%align
		places = append(places, length)
		length += p.size()
	}
	return places, length
}

// copied is what a shadow's call has been given to read, and to write.
type copied struct {
	at    vm.Addr
	mem   []byte    // what is there
	moved [6]uint64 // by how much the arguments are, to point there
	out   []promised
}

// load puts the pieces of a call that t's shadow is to make where it reads and writes them.
// Without room for them it uses what the program has.
func (o *origin) load(t *thread, nr uint64, args [6]uint64, pieces []piece) {
	o.unload(t)
	if len(pieces) == 0 {
		return
	}
	places, n := layout(pieces)
	mem, at := o.proc.Slots.Buffers.Take(n)
	if mem == nil {
		return
	}
	count(o.stats.copied, nr, otherCalls)
	t.copied = copied{at: at, mem: mem, moved: place(mem, at, args, pieces, places)}
	for i, p := range pieces {
		if p.of < 0 && p.out > 0 {
			r := p.result
			r.Arg, r.Size = int(p.at), uint64(p.out)
			t.copied.out = append(t.copied.out, promised{r, vm.Addr(args[p.at]), places[i]})
		}
	}
}

// place puts pieces at their places in mem, which is at at in the guest, and has everything
// point there; moved is by how much arguments have to be moved for that.
func place(mem []byte, at vm.Addr, args [6]uint64, pieces []piece, places []int) (moved [6]uint64) {
	for i, p := range pieces {
		copy(mem[places[i]:], p.data)
		to := uint64(at) + uint64(places[i])
		if p.of < 0 {
			moved[p.at] = to - args[p.at]
			continue
		}
		binary.LittleEndian.PutUint64(mem[places[p.of]+int(p.at):], to)
	}
	return moved
}

// unload gives back what the call that t's shadow has made was given.
func (o *origin) unload(t *thread) {
	if t.copied.mem != nil && o.proc.Slots != nil {
		o.proc.Slots.Buffers.GiveBack(t.copied.at, len(t.copied.mem))
	}
	t.copied = copied{}
}

// apply is arguments that point to what was copied.
func (c *copied) apply(args [6]uint64) [6]uint64 {
	for i := range args {
		args[i] += c.moved[i]
	}
	return args
}
