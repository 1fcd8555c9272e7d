package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// ELFMachine is the instruction set of guests.
const ELFMachine = elf.EM_X86_64

// stubELF is a whole static executable of one page: ELF header, program headers
// and the agent's code, which stands at the same address as in every guest. Its
// entry pauses for ever.
func stubELF() []byte {
	type header struct {
		Ident                                            [16]byte
		Type, Machine                                    uint16
		Version                                          uint32
		Entry, Phoff, Shoff                              uint64
		Flags                                            uint32
		Ehsize, Phentsize, Phnum, Shentsize, Shnum, Shnx uint16
	}
	type segment struct {
		Type, Flags                              uint32
		Off, Vaddr, Paddr, Filesz, Memsz, Aligns uint64
	}
	size := uint64(codeAt + len(agentCode))
	var b bytes.Buffer
	le := binary.LittleEndian
	binary.Write(&b, le, header{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: 2, Machine: uint16(ELFMachine), Version: 1,
		Entry: label(offPause), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64,
	})
	binary.Write(&b, le, segment{Type: 1, Flags: 5, Vaddr: uint64(AgentBase), Paddr: uint64(AgentBase),
		Filesz: size, Memsz: size, Aligns: 0x1000})
	const gnuStack = 0x6474e551 // without it the stack would be executable
	binary.Write(&b, le, segment{Type: gnuStack, Flags: 6, Aligns: 16})
	b.Write(make([]byte, codeAt-b.Len()))
	b.Write(agentCode[:])
	return b.Bytes()
}
