package job

import (
	"fmt"
	"os"
	"strings"
	"time"

	"popcorn/internal/coherence"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

type (
	page = vm.Page
	run  = vm.Run
)

// whereabouts is where a thread of the job is. Every place a thread may be
// stopped or moved is one of these, and moves only between the pairs in legal.
type whereabouts uint8

const (
	atHome    whereabouts = iota // runs, or is stopped, at the origin
	leaving                      // stopped at home until it can go
	away                         // runs at a remote; its shadow waits
	calling                      // away, its shadow makes a call for it
	leavingIn                    // left in the middle of a call, which its shadow finishes first
	recalled                     // away, asked to come home
	homeIn                       // back home while its shadow still makes its call
	gone
)

var whereNames = [...]string{"home", "leaving", "away", "calling", "leaving in a call", "recalled",
	"home in a call", "gone"}

func (w whereabouts) String() string { return whereNames[w] }

var legal = map[whereabouts][]whereabouts{
	atHome:    {leaving, gone},
	leaving:   {away, leavingIn, atHome, gone},
	away:      {calling, recalled, atHome, away, gone},
	calling:   {away, recalled, gone},
	leavingIn: {away, recalled, leavingIn, atHome, homeIn, gone},
	recalled:  {atHome, homeIn, away, gone},
	homeIn:    {atHome, recalled, leavingIn, gone},
	gone:      {},
}

// thread is one thread of the program, known by the kernel's id at the origin.
type thread struct {
	tid   int
	where whereabouts
	node  coherence.NodeID // where it is, or is going to
	// place is where placement or a person wants it: a thread that is home on an
	// errand goes back there.
	place    coherence.NodeID
	proposed int    // by propose_migration; -1 none
	slot     int    // of the shadow, 0 none
	copied   copied // for the call that the shadow makes

	stopped    bool       // in a ptrace-stop that nobody has resumed
	group      bool       // that stop is one of the whole process
	asked      int        // for it once more, see groupStop
	bears      sys.Signal // to be delivered when it is resumed, which was put off
	onStop     []func()
	born       bool // its first stop has been seen
	inside     bool // its stop lies inside a system call: registers set there are lost
	own        bool // a popcorn call of it is under way: it has registers of another moment
	errand     bool // home for something, to be stepped until it is done
	single     bool // being single-stepped: into a signal handler, or out of the vDSO
	steps      int  // made so far to get out of the vDSO, see stepOut
	exiting    bool
	execing    bool
	caught     *tracedCall // at whose entry it stands stopped
	futex      []run
	futexTries int
	cut        *cutShort
	sandboxed  bool          // it stays home
	left       time.Duration // when it last left home
	signalled  time.Duration // when the last signal came that took it home
	nagged     int           // how many did, each soon after it had left
	forkHold   uint64        // holds the memory until its fork is done
	telefork   *telefork
	exitHold   uint64

	ctx      *guest.Context // of a thread in a call: what it resumes with
	call     *call          // being made by the shadow
	refused  func()         // ends the call that asked for the move under way, should it fail
	signal   *delivery      // waits for the thread to come home
	trap     *sys.SigInfo   // what the SIGTRAP says that we have sent it
	landing  *landing       // user state that it gets at its next stop
	since    time.Duration  // when the move under way began
	moved    []func(error)  // who waits for it
	cleartid vm.Addr
	unasked  bool           // cleartid is not known yet
	rseq     sys.RseqConfig // its registration, which was ended when it left
	growing  vm.Addr        // address the shadow touches so that the stack grows
	comm     string
	// wait is the call at waitAt that it was last interrupted in, see noteWait.
	wait, waitAt uint64
}

// delivery is a signal on which the shadow stands stopped.
type delivery struct {
	sig sys.Signal
}

// landing is the user state of a thread that has come home, and why it came: nr
// is the call it is to make. It was at node from.
type landing struct {
	ctx    *guest.Context
	reason uint32
	nr     uint64
	from   coherence.NodeID
}

// call is a system call made by a shadow.
type call struct {
	nr      uint64
	args    [6]uint64
	started time.Duration
	posted  bool // the shadow or the butler is at it
	done    bool // it has ended, with ret, before its thread was home
	ret     uint64
	// remote tells that a node waits for the result.
	remote      bool
	hold        uint64
	tries       int
	interrupted bool   // done with a code that only the kernel may interpret
	byButler    bool   // the butler is at it, not the shadow
	waited      bool   // a mere stop ended it with EINTR, it is being made again
	moved       uint64 // bytes that earlier parts of it have moved
	asked       bool   // whether it reads the program's arguments
	delivering  bool   // done, but what it wrote is not in place yet
	begun       bool   // before the shadow had it: its thread was interrupted in it
}

func (t *thread) to(w whereabouts) {
	for _, ok := range legal[t.where] {
		if ok == w {
			t.where = w
			return
		}
	}
	panic(fmt.Sprintf("thread %d goes from %v to %v", t.tid, t.where, w))
}

// busy tells whether the thread, where it stands stopped, waits for pages that a
// call of its needs, or bears a signal: it goes on with that before anything else.
func (t *thread) busy() bool { return t.own || t.bears != 0 || t.forkHold != 0 || t.futex != nil }

// callable tells whether calls can be injected into the thread as it stands. A signal
// that it bears would be lost by them, or lose what is known of it.
func (t *thread) callable() bool {
	return t.stopped && t.bears == 0 && !t.group && !t.inside && !t.exiting && t.where != gone
}

// finishMove calls those who wait for a move.
func (t *thread) finishMove(err error) {
	waiters := t.moved
	t.moved = nil
	for _, f := range waiters {
		f(err)
	}
}

func (t *thread) name(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/comm", pid, t.tid))
	if err == nil {
		t.comm = strings.TrimSuffix(string(b), "\n")
	}
	return t.comm
}
