// Package guest holds one Linux process under our hand: it starts a process as
// an empty stub, traces its threads, injects system calls, puts the agent into
// its address space, installs the filters and reads and writes its registers
// and memory. Facts of an architecture stand in files named after it.
//
// It does not know about other nodes, about who owns a page, nor when a thread
// should move; packages pager and job do.
//
// All ptrace requests of a process come from the one operating-system thread
// that seized it (ptrace(2)); nothing here locks.
package guest

//go:generate go run ./gen
