package guest

import (
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Where the agent lives, in every guest on every node. The range lies between
// where kernels put heaps and where they put mappings, and is free in ordinary
// programs; Distribute refuses a program that uses it.
const (
	AgentBase vm.Addr = 0x6f0000000000
	codeAt            = 0x100 // the blob's place in its page, after the ELF header
	tableBase         = AgentBase + 0x1000
	tableSize         = 0x10000
	// scratchBase is where a guest is given memory for what injected calls write.
	scratchBase = AgentBase + 0x20000
	scratchSize = 0x40000
	slotBase    = AgentBase + 0x100000
	slotSize    = 128
	MaxSlots    = 1 << 15
	slotsSize   = slotSize * MaxSlots
	// StageBase is where mappings wait while they are being replaced.
	StageBase = AgentBase + 0x10_0000_0000
	// filesBase is where files wait whose mappings have been made anonymous.
	filesBase = AgentBase + 0x20_0000_0000
	agentEnd  = AgentBase + 0x100_0000_0000
)

// Doorbell is the call number with which a shadow reports a result; it is no
// system call of any kernel. agent_amd64.S holds it too.
const Doorbell = 0x504f50

// ClockCall is the number of a call that returns what the clock in its argument
// shows, in nanoseconds, or fails. Only supervisors of remotes know it; see
// vdso_clock_gettime in agent_amd64.S.
const ClockCall = 0x504f51

// Slots of our own threads in the guest.
const (
	butlerSlot = iota
	holderSlot
	firstSlot // of those for shadows
)

// AgentRange is what the agent may use of the address space.
func AgentRange() vm.Range { return vm.Range{Start: AgentBase, End: agentEnd} }

func label(off vm.Addr) uint64 { return uint64(AgentBase + codeAt + off) }

// Offsets in a slot; see agent_amd64.S.
const (
	slotCommand = 0
	slotDone    = 4
	slotNumber  = 8
	slotArgs    = 16
	slotResult  = 64
	slotMask    = 72
)

// Slots is the memory through which shadows and the butler get their commands:
// a memfd mapped here and in the guest. The guest can write it, so nothing read
// from it is believed beyond this guest's own memory; results of forwarded
// calls come with the doorbell's notification instead.
type Slots struct {
	mem     []byte
	fd      int
	free    []int
	next    int
	Buffers buffers
}

// NewSlots maps the slots and buffers that are in the memfd fd, which Close closes.
func NewSlots(fd int) (*Slots, error) {
	mem, err := sys.Mmap(fd, 0, sharedSize, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &Slots{mem: mem, fd: fd, next: firstSlot, Buffers: buffers{mem: mem[slotsSize:]}}, nil
}

// Close unmaps the slots.
func (s *Slots) Close() {
	sys.Munmap(s.mem)
	sys.Close(s.fd)
}

// Alloc gives a slot number. It returns -1 when all are taken.
func (s *Slots) Alloc() int {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if s.next == MaxSlots {
		return -1
	}
	s.next++
	return s.next - 1
}

// Free gives a slot back once its thread is gone.
func (s *Slots) Free(i int) {
	s.word(i, slotCommand).Store(0)
	s.free = append(s.free, i)
}

// SlotAddr is where slot i stands in the guest.
func SlotAddr(i int) vm.Addr { return slotBase + vm.Addr(i)*slotSize }

// SlotOf is the slot at a, or -1.
func SlotOf(a uint64) int {
	off := a - uint64(slotBase)
	if a < uint64(slotBase) || off >= slotsSize || off%slotSize != 0 {
		return -1
	}
	return int(off / slotSize)
}

func (s *Slots) word(i, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&s.mem[i*slotSize+off]))
}

// Post hands slot i a system call and wakes its thread.
func (s *Slots) Post(i int, nr uint64, args [6]uint64) {
	b := s.mem[i*slotSize:]
	binary.LittleEndian.PutUint64(b[slotNumber:], nr)
	for k, a := range args {
		binary.LittleEndian.PutUint64(b[slotArgs+8*k:], a)
	}
	s.word(i, slotDone).Store(0)
	s.word(i, slotCommand).Store(1)
	sys.FutexWake((*uint32)(unsafe.Pointer(&s.mem[i*slotSize])), 1)
}

// Pending tells whether the command of slot i has not been taken yet.
func (s *Slots) Pending(i int) bool { return s.word(i, slotCommand).Load() != 0 }

// Cancel takes an untaken command back.
func (s *Slots) Cancel(i int) { s.word(i, slotCommand).Store(0) }

// await waits until slot i's command has ended; false after d.
func (s *Slots) await(i int, d time.Duration) bool {
	w := s.word(i, slotDone)
	if w.Load() != 0 {
		return true
	}
	sys.FutexWait((*uint32)(unsafe.Pointer(&s.mem[i*slotSize+slotDone])), 0, d)
	return w.Load() != 0
}

func (s *Slots) mask(i int) uint64 {
	return binary.LittleEndian.Uint64(s.mem[i*slotSize+slotMask:])
}

func (s *Slots) result(i int) uint64 {
	return binary.LittleEndian.Uint64(s.mem[i*slotSize+slotResult:])
}
