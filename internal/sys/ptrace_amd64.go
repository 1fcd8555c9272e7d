package sys

import "golang.org/x/sys/unix"

// Regs is user_regs_struct: 27 words.
type Regs = unix.PtraceRegs

// ntXState names the register set of everything xsave saves (linux/elf.h).
const ntXState = unix.NT_X86_XSTATE

// GetRegs reads the general registers. Orig_rax is the system call's number
// when stopped in one, else -1.
func GetRegs(tid int, r *Regs) error { return unix.PtraceGetRegs(tid, r) }

// SetRegs writes them. Orig_rax -1 keeps the kernel from restarting a call.
func SetRegs(tid int, r *Regs) error { return unix.PtraceSetRegs(tid, r) }

// GetXState reads the xsave area in its standard layout, as far as buf reaches,
// and returns its length there. The feature mask of the whole is at byte 464.
func GetXState(tid int, buf []byte) (int, error) {
	return regset(unix.PTRACE_GETREGSET, tid, ntXState, buf)
}

// SetXState writes it; b has the length GetXState gave on a machine of the same
// features (EFAULT or EINVAL otherwise).
func SetXState(tid int, b []byte) error {
	_, err := regset(unix.PTRACE_SETREGSET, tid, ntXState, b)
	return err
}
