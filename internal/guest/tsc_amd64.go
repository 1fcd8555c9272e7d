package guest

import (
	"bytes"
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// withoutTSC makes the instructions that read the processor's time stamp counter
// raise SIGSEGV in thread tid and in those it makes (prctl(2), PR_SET_TSC): the
// counter of another machine shows another time. Such a thread goes home to read it.
func (p *Process) withoutTSC(tid int) error {
	const setTSC, tscSigsegv = 26, 2
	if _, err := p.Call(tid, sys.SYS_PRCTL, setTSC, tscSigsegv); err != nil {
		return fmt.Errorf("keep from reading time stamps: %w", err)
	}
	return nil
}

// ReadsTSC tells whether the instruction at a reads the time stamp counter.
func (p *Process) ReadsTSC(a vm.Addr) bool {
	var rdtsc, rdtscp = []byte{0x0f, 0x31}, []byte{0x0f, 0x01, 0xf9}
	code := make([]byte, len(rdtscp))
	if p.Read(a, code) != nil && p.Read(a, code[:len(rdtsc)]) != nil { // the page behind may be away
		return false
	}
	return bytes.HasPrefix(code, rdtsc) || bytes.Equal(code, rdtscp)
}
