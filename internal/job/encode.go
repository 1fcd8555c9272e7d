package job

import (
	"encoding/binary"
	"fmt"

	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/syscalls"
	"popcorn/internal/vm"
)

// encodeMappings is mappings as a frame's payload: start, end, protection, kind,
// grows-down, then the name with its length.
func encodeMappings(ms []vm.Mapping) []byte {
	var b []byte
	for _, m := range ms {
		name := m.Name
		if m.Kind != vm.Local { // only the kernel's own are placed by name
			name = ""
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(m.Start))
		b = binary.LittleEndian.AppendUint64(b, uint64(m.End))
		down := byte(0)
		if m.GrowsDown {
			down = 1
		}
		b = append(b, byte(m.Prot), byte(m.Kind), down, byte(min(len(name), 255)))
		b = append(b, name[:min(len(name), 255)]...)
	}
	return b
}

func decodeMappings(b []byte) ([]vm.Mapping, error) {
	var ms []vm.Mapping
	for len(b) > 0 {
		if len(b) < 20 || len(b) < 20+int(b[19]) {
			return nil, fmt.Errorf("decode mappings: %w", sys.EINVAL)
		}
		m := vm.Mapping{Range: vm.Range{Start: vm.Addr(binary.LittleEndian.Uint64(b)), End: vm.Addr(binary.LittleEndian.Uint64(b[8:]))},
			Prot: vm.Prot(b[16]), Kind: vm.Kind(b[17]), GrowsDown: b[18] == 1, Name: string(b[20 : 20+int(b[19])])}
		if !valid(m) {
			return nil, fmt.Errorf("decode mapping %v: %w", m.Range, sys.EINVAL)
		}
		ms = append(ms, m)
		b = b[20+int(b[19]):]
	}
	return ms, nil
}

// valid tells whether a mapping can be one of a program's: whole pages, some,
// and all of user space unless it is the kernel's own.
func valid(m vm.Mapping) bool {
	const offset = vm.PageSize - 1
	return m.Start < m.End && (m.Start|m.End)&offset == 0 && m.Kind <= vm.WritableFile &&
		m.Prot <= vm.ProtRead|vm.ProtWrite|vm.ProtExec && (m.End <= userEnd || m.Kind == vm.Local)
}

// encodeJoin is a machine with its length, then mappings.
func encodeJoin(m guest.Machine, ms []vm.Mapping) ([]byte, error) {
	machine, err := m.Encode()
	if err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(machine)))
	return append(append(b, machine...), encodeMappings(ms)...), nil
}

func decodeJoin(b []byte) (m guest.Machine, ms []vm.Mapping, err error) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
		return m, nil, fmt.Errorf("decode join of %d bytes: %w", len(b), sys.EINVAL)
	}
	n := 4 + binary.LittleEndian.Uint32(b)
	if m, err = guest.DecodeMachine(b[4:n]); err != nil {
		return m, nil, err
	}
	ms, err = decodeMappings(b[n:])
	return m, ms, err
}

// userEnd is behind the last address of programs (57-bit address spaces have to
// be asked for; nothing does).
const userEnd vm.Addr = 1 << 47

// encodeCall is a system call's number and arguments, then its pieces, then what is in
// them, as a frame's payload in parts.
func encodeCall(nr uint64, args [6]uint64, pieces []piece) [][]byte {
	b := make([]byte, 0, callSize+len(pieces)*pieceHead)
	b = binary.LittleEndian.AppendUint64(b, nr)
	for _, a := range args {
		b = binary.LittleEndian.AppendUint64(b, a)
	}
	b = append(b, byte(len(pieces)))
	parts := [][]byte{nil}
	for _, p := range pieces {
		b = append(b, byte(p.of+1))
		b = binary.LittleEndian.AppendUint32(b, p.at)
		b = binary.LittleEndian.AppendUint16(b, p.skew)
		b = binary.LittleEndian.AppendUint32(b, p.out)
		b = append(b, byte(p.result.Per), p.result.Field.Step, p.result.Field.At, p.result.Field.Len, flagOf(p.result.Always))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.data)))
		parts = append(parts, p.data)
	}
	parts[0] = b
	return parts
}

const (
	callSize  = 57
	pieceHead = 20
)

func flagOf(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decodeCall refuses pieces that nothing before them can point to. Their data are of b.
func decodeCall(b []byte) (nr uint64, args [6]uint64, pieces []piece, err error) {
	if len(b) < callSize || len(b) < callSize+int(b[callSize-1])*pieceHead || b[callSize-1] > maxPieces {
		return 0, args, nil, fmt.Errorf("decode call of %d bytes: %w", len(b), sys.EINVAL)
	}
	nr = binary.LittleEndian.Uint64(b)
	for i := range args {
		args[i] = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	heads, data := b[callSize:], b[callSize+int(b[callSize-1])*pieceHead:]
	for range b[callSize-1] {
		p := piece{of: int(heads[0]) - 1, at: binary.LittleEndian.Uint32(heads[1:]), skew: binary.LittleEndian.Uint16(heads[5:]),
			out: binary.LittleEndian.Uint32(heads[7:])}
		f := syscalls.Field{Step: heads[12], At: heads[13], Len: heads[14]}
		p.result = syscalls.Result{Per: uint64(heads[11]), Field: f, Always: heads[15] == 1}
		n := binary.LittleEndian.Uint32(heads[16:])
		inside := p.of < 0 && p.at < uint32(len(args)) ||
			p.of >= 0 && p.of < len(pieces) && uint64(p.at)+8 <= uint64(len(pieces[p.of].data))
		if uint(f.At)+uint(f.Len) > uint(f.Step) || f.Step > 0 && f.Len == 0 || heads[15] > 1 {
			return 0, args, nil, fmt.Errorf("decode result of call %d: %w", nr, sys.EINVAL)
		}
		heads = heads[pieceHead:]
		if !inside || p.skew >= vm.PageSize || n == 0 && p.out == 0 || n > maxCopied || p.out > maxCopied || uint64(n) > uint64(len(data)) {
			return 0, args, nil, fmt.Errorf("decode buffer of call %d: %w", nr, sys.EINVAL)
		}
		p.data, data = data[:n:n], data[n:]
		pieces = append(pieces, p)
	}
	if len(data) > 0 {
		return 0, args, nil, fmt.Errorf("decode call %d, %d bytes too much: %w", nr, len(data), sys.EINVAL)
	}
	return nr, args, pieces, nil
}
