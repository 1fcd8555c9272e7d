// Package control is the door of one job: a unix socket through which its
// user asks where the threads are, moves them, signals, pauses and waits.
// A supervisor serves it (Serve, Backend); the command line finds and calls it
// (List, Find, Dial). One connection carries one call: a line of JSON each way.
//
// It knows nothing of how a job does what it is asked, and crosses no network.
package control
