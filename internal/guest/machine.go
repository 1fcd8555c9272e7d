package guest

import (
	"encoding/json"
	"fmt"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Machine is what a node must know of the origin's before it takes threads.
type Machine struct {
	Clocks Clocks
	CPU    CPU
	// Baseline is what the program is held to of that.
	Baseline Baseline
	// VDSO is the image that the kernel there gave the program.
	VDSO []byte
}

// ReadMachine tells of the machine that process p runs on. The second result is
// where its vDSO is.
func ReadMachine(p *Process) (m Machine, at vm.Range, err error) {
	if m.Clocks, err = ReadClocks(p.PID); err != nil {
		return m, at, err
	}
	if m.VDSO, at, err = p.VDSO(); err != nil {
		return m, at, err
	}
	m.CPU = ReadCPU()
	return m, at, nil
}

// Encode is m as a frame's payload has it.
func (m Machine) Encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode machine: %w", err)
	}
	return b, nil
}

// maxMachine bounds an encoded machine: the image in base64, and the rest.
const maxMachine = maxVDSO*4/3 + 64<<10

// Admits tells why a program started on m cannot go on here, on that processor;
// nil if it can.
func (m Machine) Admits(here CPU) error {
	b := m.Baseline
	if b.saves() && here.XCR0&^m.CPU.XCR0 != 0 {
		return errMoreState // a buffer is sized by all that the processor has
	}
	return b.limit(m.CPU).RunsOn(b.limit(here))
}

// Lacks tells whether the program may come upon instructions that the processor
// here does not have.
func (m Machine) Lacks(here CPU) bool { return len(m.CPU.beyond(here)) > 0 }

// DecodeMachine is the inverse of Encode. The image is looked at when it is used.
func DecodeMachine(b []byte) (m Machine, err error) {
	if len(b) > maxMachine {
		return m, fmt.Errorf("decode machine of %d bytes: %w", len(b), sys.E2BIG)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode machine: %w", err)
	}
	if _, err := ParseBaseline(string(m.Baseline)); err != nil {
		return m, fmt.Errorf("decode machine: %w", err)
	}
	if len(m.VDSO) > maxVDSO {
		return m, fmt.Errorf("decode machine: vDSO of %d bytes: %w", len(m.VDSO), sys.E2BIG)
	}
	if c := m.CPU; c.Size < 0 || c.Size > maxXState || len(c.Components) > 64 {
		return m, fmt.Errorf("decode machine: extended state of %d bytes: %w", c.Size, sys.EINVAL)
	}
	return m, nil
}
