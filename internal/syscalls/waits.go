package syscalls

// Unit says how a call is told how long to wait.
type Unit uint8

const (
	// NoTimeout calls wait without limit, or the limit is absolute and a
	// second call has it unchanged.
	NoTimeout Unit = iota
	// Millis is an int32 argument in milliseconds, negative for ever.
	Millis
	// Timespec is a pointer to a relative struct timespec, NULL for ever.
	Timespec
	// SocketOption is SO_RCVTIMEO or SO_SNDTIMEO of the socket, no argument.
	// Without the option the call is restarted by the kernel as usual.
	SocketOption
)

func (u Unit) String() string {
	return [...]string{"none", "ms", "timespec", "socket option"}[u]
}

// Wait is how a call behaves when a ptrace stop interrupts it and no signal is
// delivered.
type Wait struct {
	// EINTR: it returns a plain -EINTR, which no program expects without a
	// handler having run. Otherwise it returns -514 (ERESTARTNOHAND) and only
	// its timeout would begin again.
	EINTR bool
	// Unit and Arg (from 0) say where the time is that has to be shortened
	// when the call is made again. Arg is -1 when there is none.
	Unit Unit
	Arg  int
}

// waits is the calls a mere stop makes misbehave. All others are restarted by
// the kernel with what remains of their time: nanosleep, poll and futex by
// restart_syscall, select, pselect6 and ppoll by a shortened timeout in memory,
// mq_timed* and futex_wait* because theirs are absolute.
//
// Sources: signal(7), "Interruption of system calls by stop signals";
// fs/eventpoll.c ep_poll, kernel/signal.c do_sigtimedwait, ipc/sem.c
// __do_semtimedop, fs/aio.c, include/net/sock.h sock_intr_errno (also behind
// read, write and their kin on a socket).
var waits = map[int]Wait{
	232: {true, Millis, 3},        // epoll_wait
	281: {true, Millis, 3},        // epoll_pwait
	441: {true, Timespec, 3},      // epoll_pwait2
	128: {true, Timespec, 2},      // rt_sigtimedwait
	65:  {true, NoTimeout, -1},    // semop
	220: {true, Timespec, 3},      // semtimedop
	208: {true, Timespec, 4},      // io_getevents
	333: {false, Timespec, 4},     // io_pgetevents
	0:   {true, SocketOption, -1}, // read
	19:  {true, SocketOption, -1}, // readv
	43:  {true, SocketOption, -1}, // accept
	288: {true, SocketOption, -1}, // accept4
	45:  {true, SocketOption, -1}, // recvfrom
	47:  {true, SocketOption, -1}, // recvmsg
	299: {true, SocketOption, -1}, // recvmmsg: its own timeout is looked at only between messages
	1:   {true, SocketOption, -1}, // write
	20:  {true, SocketOption, -1}, // writev
	40:  {true, SocketOption, -1}, // sendfile
	275: {true, SocketOption, -1}, // splice
	42:  {true, SocketOption, -1}, // connect: a second call waits for the connection under way
	44:  {true, SocketOption, -1}, // sendto
	46:  {true, SocketOption, -1}, // sendmsg
	307: {true, SocketOption, -1}, // sendmmsg
}

// Interrupted is how nr behaves when a mere stop interrupts it; false when the
// kernel restarts it rightly by itself.
func Interrupted(nr int) (Wait, bool) {
	w, ok := waits[nr]
	return w, ok
}

// RestartsWithEINTR tells whether nr may return a plain -EINTR after a mere
// ptrace stop, so that whoever stopped it must make the call again with the
// time that remains (Interrupted says where the time is).
func RestartsWithEINTR(nr int) bool { return waits[nr].EINTR }

// MaskArg is the argument (from 0) by which a call waits under another signal
// mask, or -1. For pselect6 and io_pgetevents it points to a pair of mask
// pointer and size, and the mask pointer in it may be NULL.
func MaskArg(nr int) int {
	switch nr {
	case 271: // ppoll
		return 3
	case 281, 441: // epoll_pwait, epoll_pwait2
		return 4
	case 270, 333: // pselect6, io_pgetevents
		return 5
	}
	return -1
}
