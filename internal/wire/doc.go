// Package wire carries frames between the supervisors of one job.
//
// A frame is a 32-byte little-endian [Header] and a payload. A [Conn] is one
// peer, owned by the one thread that runs its event loop: sends never block
// (what the kernel does not take waits in a bounded queue) and receives
// dispatch whole frames straight out of the read buffer. Before its first
// frame a connection is authenticated in both directions with the job's
// secret ([Dial], [Listener]). [Pipe] is the same connection over memory.
//
// With [Credentials] in its [Hello] a connection is TLS 1.3. The starter of a
// job makes its [Authority], keeps the authority's key to itself, and gives each
// supervisor a key and a certificate that names job and node
// (popcorn://job/HEX/node/N). Both ends verify the other's certificate against
// the one authority, and the node number of the hello against the certificate;
// an end with credentials and an end without refuse each other. Nothing is
// resumed. A peer that ends without close_notify (it was killed, or somebody
// cut the connection) is io.EOF and io.ErrUnexpectedEOF to errors.Is; one that
// closed is io.EOF itself. A certificate counts when two nodes meet: one that
// expires later ends nothing. Key updates are answered but never asked for, as
// crypto/tls cannot: with AES-GCM, RFC 8446 (5.5) sees one key as good for
// 24 million full records, some 400 GB, each way.
//
// It does not know what a frame means, who owns a page, who may have
// credentials or when to reconnect.
package wire
