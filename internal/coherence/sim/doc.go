// Package sim drives the machines of package coherence, the very code that
// runs, over a simulated network of 2 to 1,000 nodes, and counts what typical
// patterns of sharing cost in messages, bytes and time per fault.
//
// It models neither kernels nor queues in network cards: a message takes a
// fixed time plus its bytes' share of the bandwidth.
package sim
