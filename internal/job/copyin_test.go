package job

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
)

// somePages is memory of which some pages are here.
type somePages map[vm.Page][]byte

func (m somePages) Peek(b []byte, a vm.Addr) bool {
	for i := range b {
		p := m[(a + vm.Addr(i)).Page()]
		if p == nil {
			return false
		}
		b[i] = p[(a+vm.Addr(i))%vm.PageSize]
	}
	return true
}

// asKernel reads as the kernel would at home: copies where they are, and else the
// program's own memory, of which home has everything.
type asKernel struct {
	t      *rapid.T
	copies []byte
	at     vm.Addr
	whole  somePages
}

func (k asKernel) read(a, n uint64) []byte {
	if n > 1<<20 {
		k.t.Fatalf("reads %d bytes at %#x", n, a)
	}
	b := make([]byte, n)
	if a >= uint64(k.at) && a+n <= uint64(k.at)+uint64(len(k.copies)) {
		copy(b, k.copies[a-uint64(k.at):])
	} else if !k.whole.Peek(b, vm.Addr(a)) {
		k.t.Fatalf("%d bytes at %#x are nowhere", n, a)
	}
	return b
}

func (k asKernel) text(a uint64) []byte {
	for n := uint64(1); ; n++ {
		if b := k.read(a, n); b[n-1] == 0 {
			return b
		}
	}
}

// vector is the buffers of a vector.
func (k asKernel) vector(a, n uint64) (all [][]byte) {
	for i := range n {
		e := k.read(a+16*i, 16)
		all = append(all, k.read(binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[8:])))
	}
	return all
}

func (k asKernel) message(a uint64) [][]byte {
	h := k.read(a, 56)
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(h[at:]) }
	return append(k.vector(word(16), word(24)), k.read(word(0), word(8)), k.read(word(32), word(40)))
}

// TestCopyIn lays calls out in random memory, of which their node has a part, and holds
// that home's kernel reads through what they bring along what it would have read in that
// memory itself, wherever the node has all of it without touching that.
func TestCopyIn(t *testing.T) {
	const first, pages, home = vm.Page(0x10000), 32, vm.Addr(0x6f0000500000)
	rapid.Check(t, func(t *rapid.T) {
		whole, here := somePages{}, somePages{}
		absent := rapid.SliceOfN(rapid.IntRange(0, 9), pages, pages).Draw(t, "absent")
		all := rapid.Bool().Draw(t, "all here")
		for i := range vm.Page(pages) {
			whole[first+i] = bytes.Repeat([]byte{byte('a' + i)}, vm.PageSize)
			if all || absent[i] > 0 {
				here[first+i] = whole[first+i]
			}
		}
		free := uint64(first.Addr())
		reserve := func(n uint64, what string) uint64 {
			a := free + rapid.Uint64Range(0, 3000).Draw(t, what)
			free = a + n
			return a
		}
		put := func(a uint64, words ...uint64) {
			for i, w := range words {
				for k := range uint64(8) {
					b := a + 8*uint64(i) + k
					whole[vm.Addr(b).Page()][b%vm.PageSize] = byte(w >> (8 * k))
				}
			}
		}
		length := rapid.Uint64Range(0, 9000)
		vector := func() (a, n uint64) {
			n = rapid.Uint64Range(0, 5).Draw(t, "vector")
			a = reserve(16*n, "vector at")
			for i := range n {
				l := length.Draw(t, "length")
				put(a+16*i, reserve(l, "buffer"), l)
			}
			return a, n
		}
		var nr uint64
		var args [6]uint64
		var read func(k asKernel, args [6]uint64) [][]byte
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			nr, args[2] = sys.SYS_WRITE, length.Draw(t, "length")
			args[1] = reserve(args[2], "buffer")
			read = func(k asKernel, args [6]uint64) [][]byte { return [][]byte{k.read(args[1], args[2])} }
		case 1:
			nr = 82 // rename
			for i := range 2 {
				args[i] = reserve(3000, "name")
				put(args[i]+rapid.Uint64Range(0, 2990).Draw(t, "name's end"), 0)
			}
			read = func(k asKernel, args [6]uint64) [][]byte { return [][]byte{k.text(args[0]), k.text(args[1])} }
		case 2:
			nr = sys.SYS_WRITEV
			args[1], args[2] = vector()
			read = func(k asKernel, args [6]uint64) [][]byte { return k.vector(args[1], args[2]) }
		case 3:
			nr = 46 // sendmsg
			name, control := rapid.Uint64Range(0, 100).Draw(t, "name length"), length.Draw(t, "control length")
			nameAt, controlAt := reserve(name, "name"), reserve(control, "control")
			iov, n := vector()
			args[1] = reserve(56, "message")
			put(args[1], nameAt, name, iov, n, controlAt, control, 0)
			read = func(k asKernel, args [6]uint64) [][]byte { return k.message(args[1]) }
		}
		want := read(asKernel{t, nil, home, whole}, args)
		pieces, _ := copiesOf(here, make([]byte, 0, rapid.IntRange(0, 5000).Draw(t, "arena")), syscalls.CopiedIn(int(nr), args), args)
		places, n := layout(pieces)
		mem := make([]byte, n)
		moved := place(mem, home, args, pieces, places)
		c := copied{moved: moved}
		got := read(asKernel{t, mem, home, whole}, c.apply(args))
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("part %d: got %q, want %q", i, got[i], want[i])
			}
		}
		if all {
			for i, a := range c.apply(args) {
				if len(want) > 0 && args[i] >= uint64(first.Addr()) && a == args[i] && len(want[0]) > 0 {
					t.Fatalf("all is here, and argument %d was left", i)
				}
			}
		}
		for i, p := range pieces {
			if len(p.data) >= directAlign && p.skew%directAlign == 0 && places[i]%vm.PageSize != int(p.skew) {
				t.Fatalf("%d bytes at %d of their page are copied to %d", len(p.data), p.skew, places[i])
			}
		}
	})
}
