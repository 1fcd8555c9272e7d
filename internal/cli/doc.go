// Package cli is the command line: one file a verb, what it prints and the code
// it exits with. Data goes to standard output, talk to standard error.
//
// It decides nothing about threads or pages: it fills in a job.Spec, or asks a
// running job through package control.
package cli
