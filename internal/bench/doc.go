// Package bench measures what a distributed program costs beside this machine's
// own floor: the plainest code that moves the same bytes by the same kernel
// calls, run in turns with it.
//
// Both are one small program without libc, which comes compiled with this package
// and takes its own time with the processor's counter. The package runs it,
// under popcorn run and alone, and computes; it is no benchmark of programs.
package bench

//go:generate go run ./gen
