// Package vm is the algebra of a guest's address space: addresses, pages, runs
// of pages, protections and sets of mappings.
//
// It is pure: no I/O, no clock, no goroutine. It does not know who owns a page
// (package coherence) nor how a mapping is made (package guest).
package vm
