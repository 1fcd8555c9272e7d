package guest

import (
	"testing"

	"pgregory.net/rapid"

	"popcorn/internal/vm"
)

// TestBuffers holds what is given out against a list: nothing twice, everything inside,
// here and in the guest the same place, and none refused for which there is room.
func TestBuffers(t *testing.T) {
	mem := make([]byte, bufferPages*vm.PageSize)
	rapid.Check(t, func(t *rapid.T) {
		b := buffers{mem: mem}
		type run struct {
			at vm.Addr
			n  int
		}
		var out []run
		taken := func(page int) bool {
			for _, r := range out {
				first := int(r.at-bufferBase) / vm.PageSize
				if page >= first && page < first+(r.n+vm.PageSize-1)/vm.PageSize {
					return true
				}
			}
			return false
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				n := rapid.IntRange(-1, 300*vm.PageSize).Draw(t, "bytes")
				got, at := b.Take(n)
				pages, free, room := (n+vm.PageSize-1)/vm.PageSize, 0, false
				for p := 0; p < bufferPages && !room; p++ {
					free++
					if taken(p) {
						free = 0
					}
					room = free >= pages
				}
				if (got != nil) != (n > 0 && room) || got != nil && len(got) != n {
					t.Fatalf("%d bytes of %d, with room %v", len(got), n, room)
				}
				if got == nil {
					return
				}
				first := int(at-bufferBase) / vm.PageSize
				if &got[0] != &mem[first*vm.PageSize] {
					t.Fatalf("%v is elsewhere here", at)
				}
				for p := first; p < first+pages; p++ {
					if p >= bufferPages || taken(p) {
						t.Fatalf("page %d is given out", p)
					}
				}
				out = append(out, run{at, n})
			},
			"give back": func(t *rapid.T) {
				if len(out) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				b.GiveBack(out[i].at, out[i].n)
				out = append(out[:i], out[i+1:]...)
			},
		})
	})
}
