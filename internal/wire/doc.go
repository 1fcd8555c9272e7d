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
// an end with credentials and an end without refuse each other. TLS itself resumes
// nothing. A peer that ends without close_notify (it was killed, or somebody
// cut the connection) is io.EOF and io.ErrUnexpectedEOF to errors.Is; one that
// closed is io.EOF itself. A certificate counts when two nodes meet: one that
// expires later ends nothing. Key updates are answered but never asked for, as
// crypto/tls cannot: with AES-GCM, RFC 8446 (5.5) sees one key as good for
// 24 million full records, some 400 GB, each way.
//
// # Sessions
//
// A connection with TLS has a session, which outlives it. After the handshake each
// end says which session it means and how many bytes of frames it has received:
//
//	dialer   -> id 16, position 8             zeros for a new session
//	answerer -> reason 1, id 16, position 8   a random id, or why not
//
// Frames carry no number: both ends count the bytes, each way from the session's
// first. What was sent is kept until a frame of type ack (its ID is the position up
// to which all has come) or a new position says that the peer has it. An ack rides
// before the next frame once 32 KiB have come since the last, and travels alone after
// 512 KiB. Acks are part of the stream: one that is sent again is old, and says nothing.
//
// When a stream fails, its Conn says [ErrBroken] and nothing is lost but the stream.
// Its owner calls [Conn.Suspend], which gives a [Ticket]; the end that dialled uses
// [Ticket.Redial], the other [AnswerAgain], both in any goroutine; and
// [Conn.Resume] goes on at the byte where the peer stands, also within a frame. Until
// then Send keeps what it is given, up to the same limit as ever: ErrQueueFull says
// that the frame was not taken, and whoever sees it has to end the session. Whoever
// does not name the id, shows the certificate of the same node, and stand at a
// position between what it has said to have and what it was sent is refused
// ([ErrSession]). A goodbye of TLS ends the session with the stream.
//
// It does not know what a frame means, who owns a page, who may have
// credentials, when to reconnect and when not to any more.
package wire
