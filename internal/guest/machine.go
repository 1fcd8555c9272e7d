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

// DecodeMachine is the inverse of Encode. The image is looked at when it is used.
func DecodeMachine(b []byte) (m Machine, err error) {
	if len(b) > maxMachine {
		return m, fmt.Errorf("decode machine of %d bytes: %w", len(b), sys.E2BIG)
	}
	if err := json.Unmarshal(b, &m); err != nil {
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
