// Package coherence is the law of the distributed memory: who may have a page,
// and which messages make it so. Memory is sequentially consistent by a single
// writer or many readers of each page. Every node runs one Machine; the one of
// node Home also keeps the directory. A Machine is driven by a shell that tells
// it of faults, messages and time and executes the effects it answers with.
//
// It does no I/O, reads no clock and starts no goroutine, and it never sees the
// content of a page.
//
// # The shell's part
//
// After every call, Drain and execute the effects in order. All effects are
// executed synchronously; Failed reports those that could not be. Failed,
// Receive and Fault are never called between Drain and the end of that batch
// except Failed for an effect of the batch; what it adds is drained next.
//
//   - A SendData of a page that was never touched locally reads zeros.
//   - Install (of the payload of the message just received) and InstallZero in
//     mode Shared leave the page write-protected. Both wake.
//   - Unprotect makes pages writable and wakes.
//   - Wake: the fault needs no change of the directory. A page that is missing
//     in the kernel although Mode is not Invalid was never touched: fill it with
//     zeros (write-protected when Mode is Shared). With Mode Exclusive remove a
//     write-protection that was left by an effect that failed or by memory that
//     was forgotten. Then wake.
//   - Drop of pages that are missing in the kernel does nothing.
//   - SignalUnmapped: every thread waiting at the page gets its signal.
//
// # Default
//
// A page the directory does not know is Home's, Exclusive. Nothing is stored
// for it, and home's own faults there cost a Wake.
//
// # Who is believed
//
// Home believes no remote: a message that makes no sense in home's state is
// dropped and counted in Stats.Protocol, and what a remote can make home store
// is bounded. A remote believes home, and other remotes only for data it asked
// for. The shell vouches for the sender's number.
package coherence
