// Package syscalls is the one table of system calls: what becomes of each when
// a thread makes it away from home, and what a user should know about it. The
// support table SYSCALLS.md is generated from it.
//
// It is pure. It does not perform, forward or decode any call.
package syscalls

//go:generate go run popcorn/internal/syscalls/gen -o ../../SYSCALLS.md -guests ../../test/guests
