// Package sys is the only room that speaks raw kernel ABI: userfaultfd, seccomp
// notifications, ptrace, pidfds, /proc ioctls, epoll, and the constants and
// types that go with them. It also asks the running kernel what it can do
// (Probes, Missing).
//
// Thin wrappers return a bare Errno, so errors.Is(err, sys.EAGAIN) works and no
// fault path allocates; helpers that do several things wrap it as
// "verb object: errno". Addresses of a guest are uint64, never pointers.
// Whatever can block goes through unix.Syscall, never RawSyscall: a blocked
// RawSyscall keeps its P and two of them hang a two-P program.
//
// It decides nothing: no policy, no goroutine, no state beyond descriptors.
package sys
