package wire

import (
	"encoding/binary"
	"fmt"
)

// HeaderSize is the bytes a Header takes on the wire.
const HeaderSize = 32

// MaxPayload bounds the bytes behind one header. A chunk of 512 whole pages
// and its bitmap fit, with room for as much again.
const MaxPayload = 4 << 20

// Header starts every frame. What the fields mean is the Type's business; only
// Type and Len concern this package.
type Header struct {
	Type  Type
	Flags uint8
	Node  uint16
	Count uint32
	Addr  uint64
	ID    uint64
	Aux   uint32
	Len   uint32 // payload bytes behind the header; Send fills it in
}

// Encode writes h to the first HeaderSize bytes of b.
func (h *Header) Encode(b []byte) {
	_ = b[HeaderSize-1]
	b[0] = uint8(h.Type)
	b[1] = h.Flags
	binary.LittleEndian.PutUint16(b[2:], h.Node)
	binary.LittleEndian.PutUint32(b[4:], h.Count)
	binary.LittleEndian.PutUint64(b[8:], h.Addr)
	binary.LittleEndian.PutUint64(b[16:], h.ID)
	binary.LittleEndian.PutUint32(b[24:], h.Aux)
	binary.LittleEndian.PutUint32(b[28:], h.Len)
}

// Decode reads h from the first HeaderSize bytes of b and refuses what no peer
// of this version sends: an unknown type, a payload above MaxPayload.
func (h *Header) Decode(b []byte) error {
	_ = b[HeaderSize-1]
	h.Type = Type(b[0])
	h.Flags = b[1]
	h.Node = binary.LittleEndian.Uint16(b[2:])
	h.Count = binary.LittleEndian.Uint32(b[4:])
	h.Addr = binary.LittleEndian.Uint64(b[8:])
	h.ID = binary.LittleEndian.Uint64(b[16:])
	h.Aux = binary.LittleEndian.Uint32(b[24:])
	h.Len = binary.LittleEndian.Uint32(b[28:])
	if !h.Type.Valid() {
		return &ProtocolError{What: "frame type", Got: uint64(h.Type), Max: uint64(typeEnd) - 1}
	}
	if h.Len > MaxPayload {
		return &ProtocolError{What: "payload length", Got: uint64(h.Len), Max: MaxPayload}
	}
	return nil
}

// String is the header in one line, for traces.
func (h Header) String() string {
	return fmt.Sprintf("%v flags=%#x node=%d count=%d addr=%#x id=%d aux=%#x len=%d",
		h.Type, h.Flags, h.Node, h.Count, h.Addr, h.ID, h.Aux, h.Len)
}

// PackAux puts a coherence message's kind and mode, and 16 bits more, into Aux.
func PackAux(kind, mode uint8, rest uint16) uint32 {
	return uint32(kind) | uint32(mode)<<8 | uint32(rest)<<16
}

// UnpackAux takes PackAux apart.
func UnpackAux(aux uint32) (kind, mode uint8, rest uint16) {
	return uint8(aux), uint8(aux >> 8), uint16(aux >> 16)
}
