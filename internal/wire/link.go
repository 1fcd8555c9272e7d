package wire

// Link is what an event loop needs of a peer; *Conn is one. A call through the
// interface with a payload costs one small allocation that a call on *Conn
// does not.
type Link interface {
	// Send transmits one frame or queues what the kernel does not take.
	Send(h Header, payload ...[]byte) error
	// Recv reads what is there and hands whole frames to handle.
	Recv(handle func(Header, []byte) error) error
	// Queued is the bytes that wait for Flush.
	Queued() int
	// Flush sends from the queue what the kernel takes now.
	Flush() error
	// FD is the descriptor to poll, -1 for a Pipe.
	FD() int
	// Close gives the connection up at once; what is queued is lost.
	Close()
}

var _ Link = (*Conn)(nil)
