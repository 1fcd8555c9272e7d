// only: checkpoint
/* Threads that are blocked in system calls are so afterwards: none of them sees an error that the call cannot have. */
#include "carry.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static int p[2], q[2], ev, ep;
static atomic_int in, out;
static sigset_t set;
static uint32_t word;

static void *reads(void *a) { char c; (void)a; in++; CHECK(read(p[0], &c, 1) == 1 && c == 'r'); out++; return NULL; }
static void *polls(void *a) { struct pollfd f = {.fd = q[0], .events = POLLIN}; (void)a; in++; CHECK(poll(&f, 1, 600000) == 1); out++; return NULL; }
static void *selects(void *a)
{
	fd_set f;
	struct timeval tv = {600, 0};

	(void)a;
	FD_ZERO(&f);
	FD_SET(q[0], &f);
	in++;
	CHECK(select(q[0] + 1, &f, NULL, NULL, &tv) == 1);
	out++;
	return NULL;
}
static void *epolls(void *a) { struct epoll_event e; (void)a; in++; CHECK(epoll_wait(ep, &e, 1, -1) == 1); out++; return NULL; }
static void *futexes(void *a) { (void)a; in++; while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0) CHECK(sys_futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0 || errno == EAGAIN); out++; return NULL; }
static void *sigwaits(void *a) { int s; (void)a; in++; CHECK(sigwait(&set, &s) == 0 && s == SIGUSR1); out++; return NULL; }
static void *sleeps(void *a)
{
	struct timespec ts = {0, 300000000};
	double start = now();

	(void)a;
	in++;
	CHECK(nanosleep(&ts, NULL) == 0 && now() - start >= 0.3);
	out++;
	return NULL;
}
static void *sleepsuntil(void *a)
{
	struct timespec ts;

	(void)a;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 300000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	in++;
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
	out++;
	return NULL;
}

int main(void)
{
	void *(*all[])(void *) = {reads, polls, selects, epolls, futexes, sigwaits, sleeps, sleepsuntil};
	enum { N = sizeof(all) / sizeof(*all) };
	struct epoll_event e = {.events = EPOLLIN};
	pthread_t t[N];
	uint64_t one = 1;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && pipe(p) == 0 && pipe(q) == 0);
	ev = eventfd(0, 0);
	ep = epoll_create1(0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
	for (int i = 0; i < N; i++)
		CHECK(pthread_create(&t[i], NULL, all[i], NULL) == 0);
	while (in < N)
		sleep_ms(1);
	sleep_ms(20);
	saved();
	for (int i = 0; i < 300 && out < 2; i++)
		sleep_ms(10);
	CHECK(out == 2);
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	CHECK(sys_futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
	CHECK(write(p[1], "r", 1) == 1 && write(q[1], "qq", 2) == 2 && write(ev, &one, 8) == 8 && kill(getpid(), SIGUSR1) == 0);
	for (int i = 0; i < N; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	success();
}
