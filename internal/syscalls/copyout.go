package syscalls

// Result is memory of the program that a call writes through a pointer when it succeeds:
// all of it, whatever was there before, and nothing if it fails. So it may be written to a
// copy, which is brought to its place before the call returns. What it reads by the same
// pointer (CopiedIn) is in the copy before.
type Result struct {
	Arg  int    // which argument points to it, from 0
	Size uint64 // in bytes, at the most
	// Per is how many bytes of it are written for each one that the call returns; with 0 it
	// is all of Size.
	Per uint64
	// Always tells that it is written when the call fails, too.
	Always bool
	// Field is what is written of each element of an array.
	Field Field
}

// Field is Len bytes at At of each Step bytes; all of them when Step is 0.
type Field struct{ Step, At, Len uint8 }

type written struct {
	arg    int
	size   size
	per    uint64
	always bool
	field  Field
}

func whole(arg int, n uint64) written { return written{arg: arg, size: size{n, -1}} }
func upTo(arg, length int) written    { return written{arg: arg, size: size{1, length}, per: 1} }
func always(arg int, n uint64) written {
	return written{arg: arg, size: size{n, -1}, always: true}
}
func each(arg int, n uint64, count int) written {
	return written{arg: arg, size: size{n, count}, per: n}
}

// revents is what poll writes of its array.
func revents(arg, count int) written {
	return written{arg: arg, size: size{pollfd, count}, field: Field{Step: pollfd, At: 6, Len: 2}}
}

// Sizes of structures of the kernel's interface on x86-64, where they are not those of
// copyin.go.
const (
	statSize    = 144
	statxSize   = 256
	statfsSize  = 120
	utsname     = 390
	sysinfoSize = 112
	tmsSize     = 32
	rusageSize  = 144
	timezone    = 8
	twoFDs      = 8
	idSize      = 4
	termiosSize = 36
	winsize     = 8
)

// copiedOut is what calls write. What is missing costs only time, as in copiedIn. No place
// here has what is written in the middle of a call (nanosleep's remaining time, when a signal
// comes), what it writes a part of (getsockopt), or depends on more than success and result
// (wait4, accept).
var copiedOut = map[int][]written{
	0:   {upTo(1, 2)},                                           // read
	4:   {whole(1, statSize)},                                   // stat
	5:   {whole(1, statSize)},                                   // fstat
	6:   {whole(1, statSize)},                                   // lstat
	7:   {revents(0, 1)},                                        // poll
	13:  {whole(2, sigactionSize)},                              // rt_sigaction
	14:  {whole(2, sigset)},                                     // rt_sigprocmask
	17:  {upTo(1, 2)},                                           // pread64
	22:  {whole(0, twoFDs)},                                     // pipe
	23:  {always(4, timespec)},                                  // select, and see sets
	36:  {whole(1, timevals)},                                   // getitimer
	38:  {whole(2, timevals)},                                   // setitimer
	45:  {upTo(1, 2)},                                           // recvfrom
	53:  {whole(3, twoFDs)},                                     // socketpair
	63:  {whole(0, utsname)},                                    // uname
	78:  {upTo(1, 2)},                                           // getdents
	79:  {upTo(0, 1)},                                           // getcwd
	89:  {upTo(1, 2)},                                           // readlink
	96:  {whole(0, timespec), whole(1, timezone)},               // gettimeofday
	97:  {whole(1, rlimitSize)},                                 // getrlimit
	98:  {whole(1, rusageSize)},                                 // getrusage
	99:  {whole(0, sysinfoSize)},                                // sysinfo
	100: {whole(0, tmsSize)},                                    // times
	115: {each(1, idSize, 0)},                                   // getgroups
	118: {whole(0, idSize), whole(1, idSize), whole(2, idSize)}, // getresuid
	120: {whole(0, idSize), whole(1, idSize), whole(2, idSize)}, // getresgid
	127: {whole(0, sigset)},                                     // rt_sigpending
	137: {whole(1, statfsSize)},                                 // statfs
	138: {whole(1, statfsSize)},                                 // fstatfs
	191: {upTo(2, 3)},                                           // getxattr
	192: {upTo(2, 3)},                                           // lgetxattr
	193: {upTo(2, 3)},                                           // fgetxattr
	194: {upTo(1, 2)},                                           // listxattr
	195: {upTo(1, 2)},                                           // llistxattr
	196: {upTo(1, 2)},                                           // flistxattr
	204: {upTo(2, 1)},                                           // sched_getaffinity
	217: {upTo(1, 2)},                                           // getdents64
	222: {whole(2, idSize)},                                     // timer_create
	223: {whole(3, timespecs)},                                  // timer_settime
	224: {whole(1, timespecs)},                                  // timer_gettime
	228: {whole(1, timespec)},                                   // clock_gettime
	229: {whole(1, timespec)},                                   // clock_getres
	232: {each(1, epollEvent, 2)},                               // epoll_wait
	243: {upTo(1, 2)},                                           // mq_timedreceive
	262: {whole(2, statSize)},                                   // newfstatat
	267: {upTo(2, 3)},                                           // readlinkat
	270: {always(4, timespec)},                                  // pselect6, and see sets
	271: {revents(0, 1), always(2, timespec)},                   // ppoll
	281: {each(1, epollEvent, 2)},                               // epoll_pwait
	286: {whole(3, timespecs)},                                  // timerfd_settime
	287: {whole(1, timespecs)},                                  // timerfd_gettime
	293: {whole(0, twoFDs)},                                     // pipe2
	302: {whole(3, rlimitSize)},                                 // prlimit64
	318: {upTo(0, 1)},                                           // getrandom
	332: {whole(4, statxSize)},                                  // statx
	441: {each(1, epollEvent, 2)},                               // epoll_pwait2
}

// CopiedOut is what a call writes. Pointers may be NULL, and sizes be as wrong as the
// program likes.
func CopiedOut(nr int, args [6]uint64) []Result {
	list := copiedOut[nr]
	switch {
	case nr == 16: // ioctl
		list = ioctlWrites[uint32(args[1])]
	case nr == 45 && args[3]&0x20 != 0: // recvfrom with MSG_TRUNC: nothing, of a stream (tcp(7))
		list = nil
	}
	var out []Result
	for _, w := range list {
		out = append(out, Result{w.arg, w.size.of(args), w.per, w.always, w.field})
	}
	for _, b := range sets(nr, args) {
		out = append(out, Result{Arg: b.Arg, Size: b.Size})
	}
	return out
}

// sets is the sets of descriptors of select and pselect6, which they read and write.
func sets(nr int, args [6]uint64) (list []Buffer) {
	const word = 64
	if nr != 23 && nr != 270 || args[0] > 16*word {
		return nil
	}
	for arg := 1; arg <= 3 && args[0] > 0; arg++ {
		list = append(list, Buffer{arg, Fixed, (args[0] + word - 1) / word * 8})
	}
	return list
}

// ioctlWrites is what ioctls write, by command.
var ioctlWrites = map[uint32][]written{
	0x5401: {whole(2, termiosSize)}, // TCGETS
	0x5413: {whole(2, winsize)},     // TIOCGWINSZ
	0x541b: {whole(2, idSize)},      // FIONREAD
}

// Written is how many bytes of r a call has written that returned ret.
func (r Result) Written(ret uint64) uint64 {
	const errors = 4095
	switch {
	case r.Always:
		return r.Size
	case ret > ^uint64(errors):
		return 0
	case r.Per == 0:
		return r.Size
	}
	return min(ret, r.Size/r.Per) * r.Per
}
