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
// After every call, Drain and execute the effects in order, until Drain has
// nothing more: home takes that as the word that its grants have left. Failed
// reports an effect that could not be executed, before anything else is done with
// the machine. All effects are executed synchronously, but for a zap (Drop, and
// that of a Take): it may be left until what the step sends has left, if it ends
// before an Install, Unprotect, Wake or Held and before the next step.
//
//   - SendData reads pages (Op says how) and sends them with Msg. A page that was
//     never touched locally reads as zeros.
//   - Install (of the payload of the message just received) and InstallZero (the
//     Zero flag came instead of a payload; N may be a whole chunk) leave the
//     page write-protected in mode Shared. Both wake who waits there.
//   - Unprotect makes pages writable and wakes.
//   - Wake: the fault needs no change of the directory. A page that is missing
//     in the kernel although Mode is not Invalid was never touched: fill it with
//     zeros (write-protected when Mode is Shared). With Mode Exclusive remove a
//     write-protection that was left by an effect that failed or by memory that
//     was forgotten. Then wake; who still may not, faults again.
//   - Drop of pages that are missing in the kernel does nothing.
//   - SignalUnmapped: every thread waiting at the page gets its signal.
//   - Held: the hold with this ID is complete.
//
// Two effects have longer names than the messages and flags they come from,
// InstallZero and SignalUnmapped, because one package cannot have both.
//
// A remote must have its mapping in place before it hands a Grant to Receive:
// a grant for writing that cannot be installed is lost with its content. A
// page's protection by the program (mprotect) is no business of this package.
//
// # Holds
//
// A hold takes all its runs at once, as soon as no earlier hold that excludes it
// overlaps them (holds for Read do not exclude each other), and then waits only
// for transactions, which wait for nobody. So holds cannot deadlock, if a thread
// takes all it needs in one. Home's own faults wait for a hold like anybody's,
// unless home has the page in the mode they need. Forget ends contents (munmap,
// MADV_DONTNEED); for what keeps them (mprotect, mremap, fork) use Hold.
//
// # The minimum hold time
//
// A node that was granted a page keeps it for Config.HoldBase, doubled each time
// somebody had to wait for it, up to Config.HoldMax, and halved again in calm.
// Threads that fight gain by it; threads that take turns lose it once a turn, so
// HoldMax should not be much more than a few times a remote fault. Package sim
// shows both. Nodes at which nothing runs need no such time (Config.Idle), nor does
// one whose thread waits for the very call that wants the page (FaultFor).
//
// # Lost nodes
//
// Lost takes a dead node out of everything and names the pages that died with
// it. Data it may or may not have sent is counted as lost, and its receiver is
// told to drop it.
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
