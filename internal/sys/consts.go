package sys

import "golang.org/x/sys/unix"

// Error numbers.
const (
	E2BIG         = unix.E2BIG
	EACCES        = unix.EACCES
	EADDRINUSE    = unix.EADDRINUSE
	EADDRNOTAVAIL = unix.EADDRNOTAVAIL
	EAGAIN        = unix.EAGAIN
	EALREADY      = unix.EALREADY
	EBADF         = unix.EBADF
	EBUSY         = unix.EBUSY
	ECANCELED     = unix.ECANCELED
	ECHILD        = unix.ECHILD
	ECONNABORTED  = unix.ECONNABORTED
	ECONNREFUSED  = unix.ECONNREFUSED
	ECONNRESET    = unix.ECONNRESET
	EDEADLK       = unix.EDEADLK
	EDOM          = unix.EDOM
	EEXIST        = unix.EEXIST
	EFAULT        = unix.EFAULT
	EFBIG         = unix.EFBIG
	EHOSTUNREACH  = unix.EHOSTUNREACH
	EINPROGRESS   = unix.EINPROGRESS
	EINTR         = unix.EINTR
	EINVAL        = unix.EINVAL
	EIO           = unix.EIO
	EISCONN       = unix.EISCONN
	EISDIR        = unix.EISDIR
	ELOOP         = unix.ELOOP
	EMFILE        = unix.EMFILE
	EMSGSIZE      = unix.EMSGSIZE
	ENAMETOOLONG  = unix.ENAMETOOLONG
	ENETUNREACH   = unix.ENETUNREACH
	ENFILE        = unix.ENFILE
	ENODATA       = unix.ENODATA
	ENODEV        = unix.ENODEV
	ENOENT        = unix.ENOENT
	ENOEXEC       = unix.ENOEXEC
	ENOLCK        = unix.ENOLCK
	ENOMEM        = unix.ENOMEM
	ENOSPC        = unix.ENOSPC
	ENOSYS        = unix.ENOSYS
	ENOTCONN      = unix.ENOTCONN
	ENOTDIR       = unix.ENOTDIR
	ENOTSOCK      = unix.ENOTSOCK
	ENOTSUP       = unix.ENOTSUP
	ENOTTY        = unix.ENOTTY
	ENXIO         = unix.ENXIO
	EOPNOTSUPP    = unix.EOPNOTSUPP
	EOVERFLOW     = unix.EOVERFLOW
	EPERM         = unix.EPERM
	EPIPE         = unix.EPIPE
	EPROTO        = unix.EPROTO
	ERANGE        = unix.ERANGE
	EROFS         = unix.EROFS
	ESPIPE        = unix.ESPIPE
	ESRCH         = unix.ESRCH
	ETIME         = unix.ETIME
	ETIMEDOUT     = unix.ETIMEDOUT
	EWOULDBLOCK   = unix.EWOULDBLOCK
	EXDEV         = unix.EXDEV
)

// Signals.
const (
	SIGABRT   = unix.SIGABRT
	SIGALRM   = unix.SIGALRM
	SIGBUS    = unix.SIGBUS
	SIGCHLD   = unix.SIGCHLD
	SIGCONT   = unix.SIGCONT
	SIGFPE    = unix.SIGFPE
	SIGHUP    = unix.SIGHUP
	SIGILL    = unix.SIGILL
	SIGINT    = unix.SIGINT
	SIGIO     = unix.SIGIO
	SIGKILL   = unix.SIGKILL
	SIGPIPE   = unix.SIGPIPE
	SIGPROF   = unix.SIGPROF
	SIGPWR    = unix.SIGPWR
	SIGQUIT   = unix.SIGQUIT
	SIGSEGV   = unix.SIGSEGV
	SIGSTKFLT = unix.SIGSTKFLT
	SIGSTOP   = unix.SIGSTOP
	SIGSYS    = unix.SIGSYS
	SIGTERM   = unix.SIGTERM
	SIGTRAP   = unix.SIGTRAP
	SIGTSTP   = unix.SIGTSTP
	SIGTTIN   = unix.SIGTTIN
	SIGTTOU   = unix.SIGTTOU
	SIGURG    = unix.SIGURG
	SIGUSR1   = unix.SIGUSR1
	SIGUSR2   = unix.SIGUSR2
	SIGVTALRM = unix.SIGVTALRM
	SIGWINCH  = unix.SIGWINCH
	SIGXCPU   = unix.SIGXCPU
	SIGXFSZ   = unix.SIGXFSZ
)

// Protections and flags of mmap, mremap and memfd_create.
const (
	PROT_NONE           = unix.PROT_NONE
	PROT_READ           = unix.PROT_READ
	PROT_WRITE          = unix.PROT_WRITE
	PROT_EXEC           = unix.PROT_EXEC
	PROT_GROWSDOWN      = unix.PROT_GROWSDOWN
	PROT_GROWSUP        = unix.PROT_GROWSUP
	MAP_SHARED          = unix.MAP_SHARED
	MAP_PRIVATE         = unix.MAP_PRIVATE
	MAP_SHARED_VALIDATE = unix.MAP_SHARED_VALIDATE
	MAP_FIXED           = unix.MAP_FIXED
	MAP_FIXED_NOREPLACE = unix.MAP_FIXED_NOREPLACE
	MAP_ANONYMOUS       = unix.MAP_ANONYMOUS
	MAP_NORESERVE       = unix.MAP_NORESERVE
	MAP_POPULATE        = unix.MAP_POPULATE
	MAP_GROWSDOWN       = unix.MAP_GROWSDOWN
	MAP_STACK           = unix.MAP_STACK
	MAP_HUGETLB         = unix.MAP_HUGETLB
	MAP_LOCKED          = unix.MAP_LOCKED
	MAP_DENYWRITE       = unix.MAP_DENYWRITE
	MAP_TYPE            = unix.MAP_TYPE
	MREMAP_MAYMOVE      = unix.MREMAP_MAYMOVE
	MREMAP_FIXED        = unix.MREMAP_FIXED
	MREMAP_DONTUNMAP    = unix.MREMAP_DONTUNMAP
	MFD_CLOEXEC         = unix.MFD_CLOEXEC
	MFD_ALLOW_SEALING   = unix.MFD_ALLOW_SEALING
	MFD_EXEC            = unix.MFD_EXEC
	MFD_NOEXEC_SEAL     = unix.MFD_NOEXEC_SEAL
)

// Advice of madvise(2).
const (
	MADV_NORMAL         = unix.MADV_NORMAL
	MADV_RANDOM         = unix.MADV_RANDOM
	MADV_SEQUENTIAL     = unix.MADV_SEQUENTIAL
	MADV_WILLNEED       = unix.MADV_WILLNEED
	MADV_DONTNEED       = unix.MADV_DONTNEED
	MADV_FREE           = unix.MADV_FREE
	MADV_REMOVE         = unix.MADV_REMOVE
	MADV_DONTFORK       = unix.MADV_DONTFORK
	MADV_DOFORK         = unix.MADV_DOFORK
	MADV_HUGEPAGE       = unix.MADV_HUGEPAGE
	MADV_NOHUGEPAGE     = unix.MADV_NOHUGEPAGE
	MADV_DONTDUMP       = unix.MADV_DONTDUMP
	MADV_DODUMP         = unix.MADV_DODUMP
	MADV_WIPEONFORK     = unix.MADV_WIPEONFORK
	MADV_KEEPONFORK     = unix.MADV_KEEPONFORK
	MADV_COLD           = unix.MADV_COLD
	MADV_PAGEOUT        = unix.MADV_PAGEOUT
	MADV_POPULATE_READ  = unix.MADV_POPULATE_READ
	MADV_POPULATE_WRITE = unix.MADV_POPULATE_WRITE
	MADV_COLLAPSE       = unix.MADV_COLLAPSE
)

// Flags of open(2) and its kin.
const (
	O_RDONLY      = unix.O_RDONLY
	O_WRONLY      = unix.O_WRONLY
	O_RDWR        = unix.O_RDWR
	O_CREAT       = unix.O_CREAT
	O_EXCL        = unix.O_EXCL
	O_TRUNC       = unix.O_TRUNC
	O_APPEND      = unix.O_APPEND
	O_NONBLOCK    = unix.O_NONBLOCK
	O_CLOEXEC     = unix.O_CLOEXEC
	O_DIRECTORY   = unix.O_DIRECTORY
	O_PATH        = unix.O_PATH
	AT_FDCWD      = unix.AT_FDCWD
	AT_EMPTY_PATH = unix.AT_EMPTY_PATH
)

// Events and triggers of epoll(7).
const (
	EPOLLIN        = unix.EPOLLIN
	EPOLLOUT       = unix.EPOLLOUT
	EPOLLERR       = unix.EPOLLERR
	EPOLLHUP       = unix.EPOLLHUP
	EPOLLRDHUP     = unix.EPOLLRDHUP
	POLLIN         = unix.POLLIN
	POLLHUP        = unix.POLLHUP
	POLLRDHUP      = unix.POLLRDHUP
	EPOLLPRI       = unix.EPOLLPRI
	EPOLLET        = unix.EPOLLET
	EPOLLONESHOT   = unix.EPOLLONESHOT
	EPOLLEXCLUSIVE = unix.EPOLLEXCLUSIVE
)

// Flags of clone(2).
const (
	CLONE_VM             = unix.CLONE_VM
	CLONE_FS             = unix.CLONE_FS
	CLONE_FILES          = unix.CLONE_FILES
	CLONE_SIGHAND        = unix.CLONE_SIGHAND
	CLONE_PIDFD          = unix.CLONE_PIDFD
	CLONE_PTRACE         = unix.CLONE_PTRACE
	CLONE_VFORK          = unix.CLONE_VFORK
	CLONE_PARENT         = unix.CLONE_PARENT
	CLONE_THREAD         = unix.CLONE_THREAD
	CLONE_NEWNS          = unix.CLONE_NEWNS
	CLONE_SYSVSEM        = unix.CLONE_SYSVSEM
	CLONE_SETTLS         = unix.CLONE_SETTLS
	CLONE_PARENT_SETTID  = unix.CLONE_PARENT_SETTID
	CLONE_CHILD_CLEARTID = unix.CLONE_CHILD_CLEARTID
	CLONE_UNTRACED       = unix.CLONE_UNTRACED
	CLONE_CHILD_SETTID   = unix.CLONE_CHILD_SETTID
	CLONE_NEWCGROUP      = unix.CLONE_NEWCGROUP
	CLONE_NEWUTS         = unix.CLONE_NEWUTS
	CLONE_NEWIPC         = unix.CLONE_NEWIPC
	CLONE_NEWUSER        = unix.CLONE_NEWUSER
	CLONE_NEWPID         = unix.CLONE_NEWPID
	CLONE_NEWNET         = unix.CLONE_NEWNET
	CLONE_NEWTIME        = unix.CLONE_NEWTIME
	CLONE_IO             = unix.CLONE_IO
)

// Options of wait4(2).
const (
	WNOHANG    = unix.WNOHANG
	WUNTRACED  = unix.WUNTRACED
	WCONTINUED = unix.WCONTINUED
	WEXITED    = unix.WEXITED
	WSTOPPED   = unix.WSTOPPED
	WNOWAIT    = unix.WNOWAIT
)

// Socket families, types and flags.
const (
	AF_UNIX        = unix.AF_UNIX
	AF_INET        = unix.AF_INET
	AF_INET6       = unix.AF_INET6
	SOCK_STREAM    = unix.SOCK_STREAM
	SOCK_DGRAM     = unix.SOCK_DGRAM
	SOCK_SEQPACKET = unix.SOCK_SEQPACKET
	SOCK_CLOEXEC   = unix.SOCK_CLOEXEC
	SOCK_NONBLOCK  = unix.SOCK_NONBLOCK
	SHUT_RD        = unix.SHUT_RD
	SHUT_WR        = unix.SHUT_WR
	SHUT_RDWR      = unix.SHUT_RDWR
)

// Options of prctl(2) and arch_prctl(2) that a guest's thread is made to call.
const (
	PR_SET_NO_NEW_PRIVS  = unix.PR_SET_NO_NEW_PRIVS
	PR_GET_TID_ADDRESS   = unix.PR_GET_TID_ADDRESS
	PR_SET_DUMPABLE      = unix.PR_SET_DUMPABLE
	PR_SET_PDEATHSIG     = unix.PR_SET_PDEATHSIG
	PR_SET_NAME          = unix.PR_SET_NAME
	PR_SET_SECCOMP       = unix.PR_SET_SECCOMP
	PR_SET_VMA           = unix.PR_SET_VMA
	PR_SET_VMA_ANON_NAME = unix.PR_SET_VMA_ANON_NAME
)

// Futex operations and their flags (linux/futex.h).
const (
	FUTEX_WAIT            = 0
	FUTEX_WAKE            = 1
	FUTEX_REQUEUE         = 3
	FUTEX_CMP_REQUEUE     = 4
	FUTEX_WAKE_OP         = 5
	FUTEX_LOCK_PI         = 6
	FUTEX_UNLOCK_PI       = 7
	FUTEX_TRYLOCK_PI      = 8
	FUTEX_WAIT_BITSET     = 9
	FUTEX_WAKE_BITSET     = 10
	FUTEX_WAIT_REQUEUE_PI = 11
	FUTEX_CMP_REQUEUE_PI  = 12
	FUTEX_LOCK_PI2        = 13
	FUTEX_PRIVATE_FLAG    = 128
	FUTEX_CLOCK_REALTIME  = 256
)

// Clocks.
const (
	CLOCK_REALTIME  = unix.CLOCK_REALTIME
	CLOCK_MONOTONIC = unix.CLOCK_MONOTONIC
	CLOCK_BOOTTIME  = unix.CLOCK_BOOTTIME
)
