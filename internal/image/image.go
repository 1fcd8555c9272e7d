package image

// Version is the format this package writes. A reader refuses newer ones; it
// grows when an older reader would restore something wrong, not when a field is
// added that it can do without.
const Version = 1

// Image is everything about a stopped program but the bytes of its memory,
// which Segments tell of.
type Image struct {
	Process  Process
	Threads  []Thread // the first is the process's first
	Segments []Segment
}

// Process is what all threads of a program share. Addresses are the program's.
type Process struct {
	Version int
	// Taken is when, in seconds of the Unix epoch.
	Taken   int64
	Kernel  string
	CPU     []byte // of the processor, as its reader encoded it
	PID     int
	PPID    int
	PGID    int
	SID     int
	Name    string // its first thread's comm
	Argv    []string
	Exe     File
	Dir     string
	Umask   uint32
	UIDs    [4]int // real, effective, saved, of files
	GIDs    [4]int
	Groups  []int
	Nice    int
	NoNew   bool // no_new_privs
	Persona uint64
	// Dumpable as prctl(2) PR_GET_DUMPABLE tells.
	Dumpable uint64
	// Subreaper: orphaned descendants become its children.
	Subreaper bool
	Limits    []Limit
	Layout    Layout
	Auxv      []byte
	Actions   []Action
	Pending   [][]byte // siginfo_t of signals sent to the process
	Itimers   []Itimer
	Timers    []Timer
	Mappings  []Mapping
	Objects   []Object // memory that mappings share
	VDSO      []byte
	Files     []Open       // open file descriptions
	FDs       []Descriptor // what refers to them
}

// File names a file and what it was then, to tell whether it still is that one.
type File struct {
	Path    string
	Dev     uint64
	Ino     uint64
	Size    int64
	Mtime   int64 // nanoseconds
	Mode    uint32
	Deleted bool
}

// Limit is one resource limit of setrlimit(2).
type Limit struct {
	Resource  int
	Soft, Max uint64
}

// Layout is what prctl(2) PR_SET_MM_MAP sets.
type Layout struct {
	StartCode, EndCode, StartData, EndData, StartBrk, Brk, StartStack uint64
	ArgStart, ArgEnd, EnvStart, EnvEnd                                uint64
}

// Action is a signal's action that is not the default one, as the kernel's
// struct sigaction has it.
type Action struct {
	Signal                  int
	Handler, Flags, Restore uint64
	Mask                    uint64
}

// Itimer is a running timer of setitimer(2), in microseconds.
type Itimer struct {
	Which           int
	Interval, Value uint64
}

// Timer is a timer of timer_create(2). Event is its struct sigevent, Spec the
// struct itimerspec with what was left.
type Timer struct {
	ID    int
	Clock int
	Event []byte
	Spec  []byte
}

// Kind says what a mapping is made of.
type Kind string

const (
	Anonymous Kind = "anonymous" // private memory
	OfFile    Kind = "file"      // of a file, private or shared
	OfObject  Kind = "object"    // shared memory without a file
	OfKernel  Kind = "kernel"    // [vdso] and its kin: their place only
)

// Mapping is one range of the address space.
type Mapping struct {
	Start, End uint64
	Prot       uint64 // PROT_ bits
	Kind       Kind
	Shared     bool
	Offset     uint64 // in the file or object, bytes
	File       *File  `json:",omitempty"`
	Object     int    // index in Process.Objects
	Name       string
	GrowsDown  bool
	Advice     []int // of madvise(2), to be given again
	Locked     bool
	NoReserve  bool
	Guards     []Range // guard regions (MADV_GUARD_INSTALL)
	// Writable: a shared mapping of a file that was opened for writing, so that
	// mprotect(2) may make it so.
	Writable bool
}

// Range is the addresses from Start up to End.
type Range struct{ Start, End uint64 }

// Object is memory without a file in a file system, shared by mappings and
// descriptors: of MAP_SHARED|MAP_ANONYMOUS, or a memfd.
type Object struct {
	Name  string // of the memfd, "" for none
	Size  uint64
	Seals int
	// Blob is the blob with its content, from 1 on; 0: only what mappings show.
	Blob int
}

// Thread is one thread of the program.
type Thread struct {
	TID        int
	Comm       string
	Regs       [27]uint64 // user_regs_struct, with the fs and gs bases
	XState     []byte     `json:"-"` // XSAVE area; its own note has it
	Mask       uint64     // blocked signals
	Pending    [][]byte   // siginfo_t of signals sent to the thread
	AltStack   []byte     // struct stack_t
	Robust     [2]uint64  // head and length of the robust list
	Rseq       Rseq
	ClearTID   uint64
	CPUs       []int // it may run on, when it has chosen them
	TimerSlack uint64
	Partial    *Partial `json:",omitempty"`
}

// Partial is a write that its thread has made a part of. Registers are those before the
// call, which is to write the rest and to return the length of the whole.
type Partial struct {
	NR    uint64
	Args  [6]uint64 // of the whole
	Moved uint64    // bytes written by then
}

// Rseq is a thread's registration of restartable sequences.
type Rseq struct {
	Ptr       uint64
	Size      uint32
	Signature uint32
}

// Open is one open file description; which of its fields mean something says
// Type.
type Open struct {
	Type   string
	File   *File `json:",omitempty"`
	Flags  int   // O_ flags as fcntl(2) F_GETFL tells
	Offset int64
	// Stream is the standard stream, 0 to 2, of popcorn run that this was.
	Stream int
	// Blob is the content carried along, from 1 on: of a deleted file, of a pipe.
	Blob   int
	Object int    // of a memfd
	Pipe   uint64 // names both ends' pipe
	Room   int    // a pipe's capacity, bytes
	Count  uint64 // of an eventfd; expirations of a timerfd
	Mask   uint64 // of a signalfd
	Sema   bool   // an eventfd that counts down
	Clock  int    // of a timerfd
	// Value and Interval of a timerfd, nanoseconds.
	Value, Interval uint64
	Watches         []Watch // of an epoll instance
	Locks           []Lock
	// Socket and Peer are the inodes of an end of a socket pair and of the other one,
	// 0 when that is closed; Kind is SOCK_STREAM or another.
	Socket, Peer uint64
	Kind         int
	Options      []SocketOption
}

// SocketOption is one of level SOL_SOCKET.
type SocketOption struct {
	Name  int
	Value []byte
}

// Types of open file descriptions.
const (
	Stream     = "stream"
	Regular    = "file"
	Directory  = "directory"
	Device     = "device"
	PipeRead   = "pipe read end"
	PipeWrite  = "pipe write end"
	PipeBoth   = "pipe"
	EventFD    = "eventfd"
	TimerFD    = "timerfd"
	SignalFD   = "signalfd"
	Epoll      = "epoll"
	SocketPair = "socket of a pair"
	Memfd      = "memfd"
	UnixPair   = "socket pair"
)

// Watch is a descriptor under an epoll instance's eyes.
type Watch struct {
	FD     int
	Events uint32
	Data   uint64
	File   int // index in Process.Files of what it watches
}

// Lock is a lock on a file: of flock(2), or of fcntl(2), the process's or, with
// OFD, the description's.
type Lock struct {
	Kind       string // FLOCK, POSIX, OFDLCK
	Write      bool
	Start, End int64 // End excluded; -1: without end
}

// Descriptor is a number of the program's that refers to Files[File].
type Descriptor struct {
	FD      int
	File    int
	CloExec bool
}

// Obstacle is something that cannot be carried.
type Obstacle struct {
	Thing string `json:"thing"`
	Owner string `json:"owner"`
	Why   string `json:"why"`
	Do    string `json:"do"`
}

func (o Obstacle) String() string { return o.Thing + " (" + o.Owner + "): " + o.Why + "; " + o.Do }
