package guest

import (
	"encoding/binary"
	"fmt"

	"popcorn/internal/sys"
)

// Context is all that makes a thread's user state: general registers with the
// fs and gs bases, and the whole extended state as XSAVE lays it out.
type Context struct {
	Regs   sys.Regs
	XState []byte
}

// maxXState is room for every x86-64 extension up to AMX, in bytes.
const maxXState = 16 << 10

const regsSize = 27 * 8

// Save reads the context of the stopped thread tid.
func Save(tid int) (*Context, error) {
	var r sys.Regs
	if err := sys.GetRegs(tid, &r); err != nil {
		return nil, fmt.Errorf("read registers of %d: %w", tid, err)
	}
	return SaveWith(tid, &r)
}

// SaveWith is Save for who has the general registers.
func SaveWith(tid int, r *sys.Regs) (*Context, error) {
	c := &Context{Regs: *r}
	buf := make([]byte, maxXState)
	n, err := sys.GetXState(tid, buf)
	if err != nil {
		return nil, fmt.Errorf("read extended state of %d: %w", tid, err)
	}
	c.XState = buf[:n:n]
	return c, nil
}

// Load gives the stopped thread tid the context c.
func (c *Context) Load(tid int) error {
	if err := sys.SetRegs(tid, &c.Regs); err != nil {
		return fmt.Errorf("write registers of %d: %w", tid, err)
	}
	if len(c.XState) == 0 {
		return nil
	}
	if err := sys.SetXState(tid, c.XState); err != nil {
		return fmt.Errorf("write extended state of %d: %w", tid, err)
	}
	return nil
}

// fields is the registers in the order of the kernel's user_regs_struct.
func fields(r *sys.Regs) [27]*uint64 {
	return [27]*uint64{&r.R15, &r.R14, &r.R13, &r.R12, &r.Rbp, &r.Rbx, &r.R11, &r.R10, &r.R9, &r.R8,
		&r.Rax, &r.Rcx, &r.Rdx, &r.Rsi, &r.Rdi, &r.Orig_rax, &r.Rip, &r.Cs, &r.Eflags, &r.Rsp, &r.Ss,
		&r.Fs_base, &r.Gs_base, &r.Ds, &r.Es, &r.Fs, &r.Gs}
}

// Append encodes the context behind b: 27 words, then the extended state.
func (c *Context) Append(b []byte) []byte {
	for _, f := range fields(&c.Regs) {
		b = binary.LittleEndian.AppendUint64(b, *f)
	}
	return append(b, c.XState...)
}

// ParseContext decodes what Append wrote.
func ParseContext(b []byte) (*Context, error) {
	if len(b) < regsSize || len(b) > regsSize+maxXState {
		return nil, fmt.Errorf("parse context of %d bytes: %w", len(b), sys.EINVAL)
	}
	c := &Context{}
	for i, f := range fields(&c.Regs) {
		*f = binary.LittleEndian.Uint64(b[8*i:])
	}
	c.XState = append([]byte(nil), b[regsSize:]...)
	return c, nil
}

// Clone is an independent copy.
func (c *Context) Clone() *Context {
	return &Context{Regs: c.Regs, XState: append([]byte(nil), c.XState...)}
}

// Result makes the context that of a thread whose system call returned ret.
func (c *Context) Result(ret uint64) {
	c.Regs.Rax, c.Regs.Orig_rax = ret, ^uint64(0)
}

// Again makes the context that of a thread about to execute call nr.
func (c *Context) Again(nr uint64) { CallAgain(&c.Regs, nr) }

// CallAgain makes registers at the exit of a system call those of a thread about to
// execute call nr there: the instruction pointer goes back over the system call
// instruction (2 bytes).
func CallAgain(r *sys.Regs, nr uint64) {
	r.Rip -= 2
	r.Rax, r.Orig_rax = nr, ^uint64(0)
}

// Interrupted makes the context that of a thread in the middle of call nr, which
// ended with one of the kernel's restart codes: a handler may run first, and the
// kernel then decides between EINTR and making it again.
func (c *Context) Interrupted(nr, code uint64) {
	c.Regs.Rax, c.Regs.Orig_rax = code, nr
}

// Each calls f with every general register, in the order of the kernel's
// user_regs_struct.
func (c *Context) Each(f func(i int, v *uint64)) {
	for i, r := range fields(&c.Regs) {
		f(i, r)
	}
}
