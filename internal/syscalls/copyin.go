package syscalls

// Buffer is memory of the program that a call reads through a pointer, all of it before it
// does anything else, and never again (copyin(9) of the BSDs): a copy serves it as well.
type Buffer struct {
	Arg   int // which argument points to it, from 0
	Shape Shape
	// Size in bytes of a Fixed; of a Vector the number of its elements.
	Size uint64
}

// Shape is how long a buffer is, and what is in it.
type Shape uint8

const (
	// Fixed is Size bytes.
	Fixed Shape = iota
	// String ends with its first zero byte; it has PathMax bytes at most.
	String
	// Vector is Size times struct iovec, whose buffers are read too.
	Vector
	// Message is a struct msghdr, with everything that it points to.
	Message
)

// PathMax is the longest string that calls accept, with its end (linux/limits.h).
const PathMax = 4096

// size is how a table entry says the length of a buffer: so many bytes, times an argument
// if there is one.
type size struct {
	bytes uint64
	times int // argument, from 0; -1 none
}

type copied struct {
	arg   int
	shape Shape
	size  size
}

func text(arg int) copied                         { return copied{arg, String, size{0, -1}} }
func bytes(arg int, n uint64) copied              { return copied{arg, Fixed, size{n, -1}} }
func counted(arg, length int) copied              { return copied{arg, Fixed, size{1, length}} }
func vector(arg, count int) copied                { return copied{arg, Vector, size{1, count}} }
func message(arg int) copied                      { return copied{arg, Message, size{0, -1}} }
func records(arg int, n uint64, count int) copied { return copied{arg, Fixed, size{n, count}} }

// Sizes of structures of the kernel's interface on x86-64.
const (
	timespec      = 16
	timespecs     = 2 * timespec
	timevals      = 32
	utimbuf       = 16
	epollEvent    = 12
	sigset        = 8
	sigactionSize = 32
	sigeventSize  = 64
	sembuf        = 6
	flockSize     = 32
	rlimitSize    = 16
	pollfd        = 8
)

// copiedIn is what calls read. What is missing costs only time: the kernel then reads the
// memory itself. What a call reads later than at its beginning (futex words) or refers to
// afterwards (io_submit) has no place here.
var copiedIn = map[int][]copied{
	1:   {counted(1, 2)},                             // write
	2:   {text(0)},                                   // open
	4:   {text(0)},                                   // stat
	6:   {text(0)},                                   // lstat
	7:   {records(0, pollfd, 1)},                     // poll
	13:  {bytes(1, sigactionSize)},                   // rt_sigaction
	14:  {bytes(1, sigset)},                          // rt_sigprocmask
	18:  {counted(1, 2)},                             // pwrite64
	20:  {vector(1, 2)},                              // writev
	21:  {text(0)},                                   // access
	23:  {bytes(4, timespec)},                        // select: a timeval
	35:  {bytes(0, timespec)},                        // nanosleep
	38:  {bytes(1, timevals)},                        // setitimer
	42:  {counted(1, 2)},                             // connect
	44:  {counted(1, 2), counted(4, 5)},              // sendto
	46:  {message(1)},                                // sendmsg
	49:  {counted(1, 2)},                             // bind
	54:  {counted(3, 4)},                             // setsockopt
	65:  {records(1, sembuf, 2)},                     // semop
	76:  {text(0)},                                   // truncate
	80:  {text(0)},                                   // chdir
	82:  {text(0), text(1)},                          // rename
	83:  {text(0)},                                   // mkdir
	84:  {text(0)},                                   // rmdir
	85:  {text(0)},                                   // creat
	86:  {text(0), text(1)},                          // link
	87:  {text(0)},                                   // unlink
	88:  {text(0), text(1)},                          // symlink
	89:  {text(0)},                                   // readlink
	90:  {text(0)},                                   // chmod
	92:  {text(0)},                                   // chown
	94:  {text(0)},                                   // lchown
	128: {bytes(0, sigset), bytes(2, timespec)},      // rt_sigtimedwait
	132: {text(0), bytes(1, utimbuf)},                // utime
	133: {text(0)},                                   // mknod
	137: {text(0)},                                   // statfs
	160: {bytes(1, rlimitSize)},                      // setrlimit
	188: {text(0), text(1), counted(2, 3)},           // setxattr
	189: {text(0), text(1), counted(2, 3)},           // lsetxattr
	190: {text(1), counted(2, 3)},                    // fsetxattr
	191: {text(0), text(1)},                          // getxattr
	192: {text(0), text(1)},                          // lgetxattr
	193: {text(1)},                                   // fgetxattr
	194: {text(0)},                                   // listxattr
	195: {text(0)},                                   // llistxattr
	197: {text(0), text(1)},                          // removexattr
	198: {text(0), text(1)},                          // lremovexattr
	199: {text(1)},                                   // fremovexattr
	203: {counted(2, 1)},                             // sched_setaffinity
	220: {records(1, sembuf, 2), bytes(3, timespec)}, // semtimedop
	222: {bytes(1, sigeventSize)},                    // timer_create
	223: {bytes(2, timespecs)},                       // timer_settime
	230: {bytes(2, timespec)},                        // clock_nanosleep
	233: {bytes(3, epollEvent)},                      // epoll_ctl
	235: {text(0), bytes(1, timevals)},               // utimes
	240: {text(0)},                                   // mq_open
	241: {text(0)},                                   // mq_unlink
	242: {counted(1, 2), bytes(4, timespec)},         // mq_timedsend
	254: {text(1)},                                   // inotify_add_watch
	257: {text(1)},                                   // openat
	258: {text(1)},                                   // mkdirat
	259: {text(1)},                                   // mknodat
	260: {text(1)},                                   // fchownat
	261: {text(1), bytes(2, timevals)},               // futimesat
	262: {text(1)},                                   // newfstatat
	263: {text(1)},                                   // unlinkat
	264: {text(1), text(3)},                          // renameat
	265: {text(1), text(3)},                          // linkat
	266: {text(0), text(2)},                          // symlinkat
	267: {text(1)},                                   // readlinkat
	268: {text(1)},                                   // fchmodat
	269: {text(1)},                                   // faccessat
	270: {bytes(4, timespec)},                        // pselect6
	271: {records(0, pollfd, 1), bytes(2, timespec)}, // ppoll
	280: {text(1), bytes(2, timespecs)},              // utimensat
	286: {bytes(2, timespecs)},                       // timerfd_settime
	296: {vector(1, 2)},                              // pwritev
	302: {bytes(2, rlimitSize)},                      // prlimit64
	316: {text(1), text(3)},                          // renameat2
	319: {text(0)},                                   // memfd_create
	328: {vector(1, 2)},                              // pwritev2
	332: {text(1)},                                   // statx
	437: {text(1), counted(2, 3)},                    // openat2
	439: {text(1)},                                   // faccessat2
	441: {bytes(3, timespec)},                        // epoll_pwait2
	452: {text(1)},                                   // fchmodat2
}

// CopiedIn is the buffers that a call reads. Pointers may be NULL, and lengths be as wrong
// as the program likes.
func CopiedIn(nr int, args [6]uint64) []Buffer {
	var list []Buffer
	for _, c := range copiedIn[nr] {
		if keepsPages(nr, args) {
			break
		}
		list = append(list, c.buffer(args))
	}
	if c, ok := byCommand(nr, args); ok {
		list = append(list, c.buffer(args))
	}
	return append(list, sets(nr, args)...)
}

func (c copied) buffer(args [6]uint64) Buffer {
	return Buffer{c.arg, c.shape, c.size.of(args)}
}

func (s size) of(args [6]uint64) uint64 {
	if s.times < 0 {
		return s.bytes
	}
	return s.bytes * min(args[s.times], 1<<32) // no overflow, and too much for any buffer
}

// keepsPages tells whether the kernel goes on with the pages themselves once the call has
// returned (msg_zerocopy of the kernel's documentation).
func keepsPages(nr int, args [6]uint64) bool {
	const zeroCopy = 0x4000000 // MSG_ZEROCOPY, linux/socket.h
	return nr == 44 && args[3]&zeroCopy != 0 || nr == 46 && args[2]&zeroCopy != 0
}

// byCommand is what a call reads whose arguments mean what another says.
func byCommand(nr int, args [6]uint64) (copied, bool) {
	switch nr {
	case 16: // ioctl
		if uint32(args[1]) == 0x5421 { // FIONBIO
			return bytes(2, 4), true
		}
	case 72: // fcntl
		switch uint32(args[1]) {
		case 6, 7, 37, 38: // F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
			return bytes(2, flockSize), true
		}
	case 202: // futex
		switch args[1] & 0x7f {
		case 0, 6, 9, 11, 13: // FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2
			return bytes(3, timespec), true
		}
	}
	return copied{}, false
}
