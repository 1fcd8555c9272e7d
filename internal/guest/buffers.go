package guest

import "popcorn/internal/vm"

// Behind the slots, in the same memory, are the buffers: copies of what calls of threads that
// are away read and write there, so that home's kernel need not fetch the pages.
const (
	bufferBase  = slotBase + slotsSize
	bufferPages = 8192 // room for calls that wait, with their buffers; what is not used costs nothing
	sharedSize  = slotsSize + bufferPages*vm.PageSize
)

// buffers gives out runs of pages, first fit: there are few at a time.
type buffers struct {
	mem  []byte
	used [bufferPages]bool
}

// Take gives n bytes, from the start of a page on: where they are here, and where in the
// guest, which may change them at any time. It gives nil when there is no room.
func (b *buffers) Take(n int) ([]byte, vm.Addr) {
	pages := (n + vm.PageSize - 1) / vm.PageSize
	for first, free := 0, 0; n > 0 && first+free < bufferPages; {
		if b.used[first+free] {
			first, free = first+free+1, 0
			continue
		}
		if free++; free == pages {
			for i := first; i < first+pages; i++ {
				b.used[i] = true
			}
			at := first * vm.PageSize
			return b.mem[at : at+n : at+n], bufferBase + vm.Addr(at)
		}
	}
	return nil, 0
}

// GiveBack takes the n bytes at a that Take has given.
func (b *buffers) GiveBack(a vm.Addr, n int) {
	first := int(a-bufferBase) / vm.PageSize
	for i := first; i < first+(n+vm.PageSize-1)/vm.PageSize; i++ {
		b.used[i] = false
	}
}
