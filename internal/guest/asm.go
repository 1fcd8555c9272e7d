package guest

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// filterAsm builds a seccomp filter (seccomp(2)) with forward labels over the
// classic BPF assembler, whose jumps only count instructions.
type filterAsm struct {
	ins    []bpf.Instruction
	jumps  []jump
	labels map[string]int
}

type jump struct {
	at    int
	label string
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	dataNr   = 0
	dataArch = 4
	dataIP   = 8
	dataArgs = 16
)

func newFilterAsm() *filterAsm { return &filterAsm{labels: map[string]int{}} }

func (f *filterAsm) load(off uint32) {
	f.ins = append(f.ins, bpf.LoadAbsolute{Off: off, Size: 4})
}

// arg loads the low half of argument i.
func (f *filterAsm) arg(i uint32) { f.load(dataArgs + 8*i) }

func (f *filterAsm) ret(action uint32) {
	f.ins = append(f.ins, bpf.RetConstant{Val: action})
}

// retIf returns action when the loaded word satisfies cond with val.
func (f *filterAsm) retIf(cond bpf.JumpTest, val, action uint32) {
	f.ins = append(f.ins, bpf.JumpIf{Cond: cond, Val: val, SkipFalse: 1})
	f.ret(action)
}

// to jumps forward to a label when the loaded word satisfies cond with val.
func (f *filterAsm) to(label string, cond bpf.JumpTest, val uint32) {
	f.jumps = append(f.jumps, jump{len(f.ins), label})
	f.ins = append(f.ins, bpf.JumpIf{Cond: cond, Val: val})
}

func (f *filterAsm) label(name string) { f.labels[name] = len(f.ins) }

func (f *filterAsm) assemble() ([]bpf.RawInstruction, error) {
	for _, j := range f.jumps {
		skip := f.labels[j.label] - j.at - 1
		if skip < 0 || skip > 255 {
			return nil, fmt.Errorf("assemble filter: jump to %s over %d instructions", j.label, skip)
		}
		ins := f.ins[j.at].(bpf.JumpIf)
		ins.SkipTrue = uint8(skip)
		f.ins[j.at] = ins
	}
	return bpf.Assemble(f.ins)
}
