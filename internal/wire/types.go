package wire

import "strconv"

// Type says what a frame is. Zero is no type, so that a stream of zeros is
// refused at once.
type Type uint8

// The frames between two supervisors of a job. The numbers are the protocol:
// a change needs a new Version.
const (
	TCoherence   Type = iota + 1 // a message of package coherence; kind and mode in Aux
	TArrive                      // a thread comes: registers, signal mask, first pages
	TArrived                     // it runs there, or the reason why not
	TReturn                      // a thread comes home
	TRecall                      // home wants a thread back
	TCall                        // a system call for the thread's shadow
	TCallResult                  // its result
	TJoin                        // home's program and machine, for a node to take part
	TJoined                      // it does, or the reason why not
	TMap                         // a mapping was made or changed
	TUnmap                       // rights are taken away; wait for TUnmapped
	TUnmapped                    // nothing of the range is left here
	TQuery                       // a question about an address nobody knows here
	TQueryResult                 // its answer
	TFreeze                      // stop granting (before a fork)
	TThaw                        // go on
	TFrozen                      // all is at rest here
	TStats                       // asks for a node's counters
	TStatsResult                 // the counters
	TBye                         // the job is over
	TPing                        // are you there
	TPong                        // yes
	TGone                        // a thread, a guest or a node is no more
	TWord                        // between popcorn run and a deputy: JSON
	TCopyOut                     // what a call wrote and its node could not put in place
	tAck                         // of a session: the bytes that have come, in ID
	typeEnd
)

var typeNames = [typeEnd]string{
	TCoherence: "coherence", TArrive: "arrive", TArrived: "arrived", TReturn: "return", TRecall: "recall",
	TCall: "call", TCallResult: "call-result", TJoin: "join", TJoined: "joined", TMap: "map", TUnmap: "unmap",
	TUnmapped: "unmapped", TQuery: "query", TQueryResult: "query-result", TFreeze: "freeze", TThaw: "thaw",
	TFrozen: "frozen", TStats: "stats", TStatsResult: "stats-result", TBye: "bye", TPing: "ping", TPong: "pong",
	TGone: "gone", TWord: "word", TCopyOut: "copy-out", tAck: "ack",
}

// Valid tells whether t is one of the types above.
func (t Type) Valid() bool { return t > 0 && t < typeEnd }

func (t Type) String() string {
	if !t.Valid() {
		return "type(" + strconv.Itoa(int(t)) + ")"
	}
	return typeNames[t]
}
