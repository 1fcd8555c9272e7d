// build: -lrt
// calls: accept bind clock_nanosleep clone clone3 close connect epoll_create1 epoll_wait eventfd2 flock
// calls: getpid getsockname kill listen mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv
// calls: openat pause poll pselect6 read readv recvfrom recvmsg rt_sigaction rt_sigreturn rt_sigtimedwait
// calls: semctl semget semtimedop setsockopt socket socketpair tgkill wait4 waitid write
#include "guest.h"
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <netinet/in.h>

/* What each needs to go on, made by another thread. */
static int p[2], sv[2], listener, efd, sem, msg, lock_fd, other_fd;
static uint32_t word;
static mqd_t mq;
static pid_t child;
static char c;
static struct sockaddr_in addr;

/* A call that returns 0 when it has done its work. */
static long done(long r) { return r < 0 ? r : r + 1; }

static long do_read(void) { return read(p[0], &c, 1); }
static long do_readv(void) { struct iovec v = {&c, 1}; return readv(p[0], &v, 1); }
static void put_pipe(void) { CHECK(write(p[1], "x", 1) == 1); }
static long do_recv(void) { return recv(sv[0], &c, 1, 0); }
static long do_recvmsg(void)
{
	struct iovec v = {&c, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return recvmsg(sv[0], &m, 0);
}
static void put_socket(void) { CHECK(write(sv[1], "x", 1) == 1); }
static long do_accept(void) { long fd = accept(listener, NULL, NULL); return fd < 0 ? fd : close(fd) + 1; }
static void put_connect(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(connect(s, (struct sockaddr *)&addr, sizeof addr) == 0 && close(s) == 0);
}
static long do_futex(void) { return done(sys_futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0)); }
static long do_futex_timed(void) { struct timespec t = {20, 0}; return sys_futex(&word, FUTEX_WAIT, 0, &t, NULL, 0); }
static void put_futex(void) { while (sys_futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) sched_yield(); }
static long do_event(void) { uint64_t v; return read(efd, &v, 8); }
static void put_event(void) { uint64_t v = 1; CHECK(write(efd, &v, 8) == 8); }
static long do_flock(void) { return done(flock(lock_fd, LOCK_EX)); }
static void put_flock(void) { CHECK(flock(other_fd, LOCK_UN) == 0); }
static long do_wait4(void) { return waitpid(child, NULL, 0); }
static long do_waitid(void) { siginfo_t si; return done(waitid(P_PID, child, &si, WEXITED)); }
static void put_wait(void) { CHECK(kill(child, SIGKILL) == 0); }
static long do_mq(void) { return mq_receive(mq, &c, 1, NULL); }
static void put_mq(void) { CHECK(mq_send(mq, "x", 1, 0) == 0); }
/* These are never restarted (signal(7)). */
static long do_poll(void) { struct pollfd f = {p[0], POLLIN, 0}; return poll(&f, 1, 20000); }
static long do_select(void) { struct timeval t = {20, 0}; return select(0, NULL, NULL, NULL, &t); }
static long do_epoll(void) { struct epoll_event e; int fd = epoll_create1(0); long r = epoll_wait(fd, &e, 1, 20000); int err = errno; close(fd); errno = err; return r; }
static long do_semop(void) { struct sembuf b = {0, -1, 0}; return semop(sem, &b, 1); }
static long do_semtimed(void) { struct sembuf b = {0, -1, 0}; struct timespec t = {20, 0}; return semtimedop(sem, &b, 1, &t); }
static long do_msgrcv(void) { struct { long t; char d; } m; return msgrcv(msg, &m, 1, 0, 0); }
static long do_sigwait(void) { sigset_t s; sigemptyset(&s), sigaddset(&s, SIGUSR2); struct timespec t = {20, 0}; return sigtimedwait(&s, NULL, &t); }
static long do_pause(void) { return pause(); }
static long do_rcvtimeo(void)
{
	struct timeval t = {20, 0}, none = {0, 0};

	CHECK(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
	long r = recv(sv[0], &c, 1, 0);
	int err = errno;

	CHECK(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none) == 0);
	errno = err;
	return r;
}
static long do_sleep(void)
{
	struct timespec t = {20, 0}, left = {0, 0};
	long r = nanosleep(&t, &left);

	CHECK(r == 0 || (errno == EINTR && left.tv_sec > 10 && left.tv_sec < 20));
	return r;
}
static long do_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += 20;
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	return errno ? -1 : 0;
}

static const struct { const char *name; long (*wait)(void); void (*put)(void); } calls[] = {
	{"read", do_read, put_pipe}, {"readv", do_readv, put_pipe}, {"recv", do_recv, put_socket},
	{"recvmsg", do_recvmsg, put_socket}, {"accept", do_accept, put_connect}, {"futex", do_futex, put_futex},
	{"futex timed", do_futex_timed}, {"eventfd", do_event, put_event}, {"flock", do_flock, put_flock},
	{"wait4", do_wait4, put_wait}, {"waitid", do_waitid, put_wait}, {"mq_receive", do_mq, put_mq},
	{"poll", do_poll}, {"select", do_select}, {"epoll_wait", do_epoll}, {"semop", do_semop}, {"semtimedop", do_semtimed},
	{"msgrcv", do_msgrcv}, {"sigtimedwait", do_sigwait}, {"pause", do_pause}, {"SO_RCVTIMEO", do_rcvtimeo},
	{"nanosleep", do_sleep}, {"clock_nanosleep", do_clock},
};

static _Atomic int hits, returned;
static pthread_t main_thread;
static void handler(int sig) { (void)sig, atomic_fetch_add(&hits, 1); }

/* Signals that interrupt until the call has returned; or, with a way to finish it, three, and then that. */
static void *interrupter(void *arg)
{
	void (*put)(void) = (void (*)(void))(intptr_t)arg;

	for (int sent = 0; !atomic_load(&returned) && (!put || sent < 3); sent++) {
		int before = atomic_load(&hits);

		sleep_ms(15);
		if (atomic_load(&returned))
			break;
		CHECK(pthread_kill(main_thread, SIGUSR1) == 0);
		while (atomic_load(&hits) == before)
			sched_yield();
	}
	if (put)
		put();
	return NULL;
}

static long interrupted(int i, int flags, void (*put)(void))
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
	pthread_t t;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	atomic_store(&hits, 0), atomic_store(&returned, 0);
	CHECK(pthread_create(&t, NULL, interrupter, (void *)(intptr_t)put) == 0);
	long r = calls[i].wait();
	int err = errno;

	atomic_store(&returned, 1);
	CHECK(pthread_join(t, NULL) == 0);
	errno = err;
	return r;
}

static void prepare(void)
{
	socklen_t len = sizeof addr;
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
	char name[32];

	addr.sin_family = AF_INET, addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 4) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0 && (efd = eventfd(0, 0)) >= 0);
	CHECK((sem = semget(IPC_PRIVATE, 1, 0600)) >= 0 && (msg = msgget(IPC_PRIVATE, 0600)) >= 0);
	lock_fd = open("lock", O_CREAT | O_RDWR, 0600), other_fd = open("lock", O_RDWR);
	CHECK(flock(other_fd, LOCK_EX) == 0);
	snprintf(name, sizeof name, "/popcorn-%d", getpid());
	CHECK((mq = mq_open(name, O_CREAT | O_RDWR, 0600, &attr)) != (mqd_t)-1 && mq_unlink(name) == 0);
	if ((child = fork()) == 0)
		for (;;)
			pause();
}

/* A handler interrupts each blocking call with EINTR; with SA_RESTART it goes on, or not, as signal(7) says. */
int main(void)
{
	main_thread = pthread_self();
	prepare();
	for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
		hop();
		if (interrupted(i, 0, NULL) != -1 || errno != EINTR)
			printf("%s: not interrupted: %s\n", calls[i].name, strerror(errno));
		hop();
		long r = interrupted(i, SA_RESTART, calls[i].put);

		if (calls[i].put ? r < 1 || atomic_load(&hits) != 3 : r != -1 || errno != EINTR)
			printf("%s: with SA_RESTART %ld, %s, %d hits\n", calls[i].name, r, strerror(errno), hits);
		if (calls[i].wait == do_flock)
			CHECK(flock(lock_fd, LOCK_UN) == 0 && flock(other_fd, LOCK_EX) == 0);
		if (calls[i].wait == do_wait4 && (child = fork()) == 0)
			for (;;)
				pause();
	}
	semctl(sem, 0, IPC_RMID), msgctl(msg, IPC_RMID, NULL);
	success();
	return 0;
}
