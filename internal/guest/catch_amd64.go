package guest

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"

	"popcorn/internal/sys"
)

// Catcher judges system calls as the filter at home does, for a program that
// has no filter: it is the same code, run here.
type Catcher struct{ vm *bpf.VM }

// NewCatcher makes one.
func NewCatcher() (*Catcher, error) {
	f := homeFilterAsm()
	if _, err := f.assemble(); err != nil { // it resolves the jumps
		return nil, err
	}
	vm, err := bpf.NewVM(f.ins)
	if err != nil {
		return nil, fmt.Errorf("load home filter: %w", err)
	}
	return &Catcher{vm}, nil
}

// Catches tells whether the call that a thread of the program stands before is
// one the filter would notify of.
func (c *Catcher) Catches(s sys.SyscallStop) bool {
	verdict, err := c.vm.Run(seccompData(s))
	return err == nil && uint32(verdict) == sys.SECCOMP_RET_USER_NOTIF
}

// seccompData is struct seccomp_data as the machine wants it, which loads words in
// network order where the kernel loads them in its own. The call is not the agent's.
func seccompData(s sys.SyscallStop) []byte {
	b := make([]byte, dataArgs+8*len(s.Args))
	word := func(off int, v uint32) { binary.BigEndian.PutUint32(b[off:], v) }
	word(dataNr, uint32(s.Nr))
	word(dataArch, s.Arch)
	for i, a := range s.Args {
		word(dataArgs+8*i, uint32(a))
		word(dataArgs+8*i+4, uint32(a>>32))
	}
	return b
}
