// Package wire carries frames between the supervisors of one job.
//
// A frame is a 32-byte little-endian [Header] and a payload. A [Conn] is one
// peer, owned by the one thread that runs its event loop: sends never block
// (what the kernel does not take waits in a bounded queue) and receives
// dispatch whole frames straight out of the read buffer. Before its first
// frame a connection is authenticated in both directions with the job's
// secret ([Dial], [Listener]). [Pipe] is the same connection over memory.
//
// It does not know what a frame means, who owns a page or when to reconnect.
package wire
