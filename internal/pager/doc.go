// Package pager drives the coherence machine of one node: it turns page faults
// and frames into its events and executes its effects on the guest's memory,
// which is anonymous at home (Home) and one memfd at a remote (Away).
//
// It belongs to one thread, the supervisor's loop: every fault is read, asked
// for, answered and installed by that thread, and never handed to another. It
// does not know about threads' whereabouts or system calls; package job does.
package pager
