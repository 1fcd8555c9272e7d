// Package job is one program spread over nodes: where each of its threads is,
// who may move it and where to, and what it cost.
//
// It does not speak the command line (package cli) and does not decide which
// node may hold a page (package coherence).
package job
