// calls: clock_nanosleep clone3 close epoll_create1 epoll_ctl epoll_pwait epoll_wait getpid ppoll
// calls: pselect6 read rt_sigaction rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigtimedwait signalfd4
// calls: tgkill
#include "guest.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

static _Atomic int hits;
static pthread_t waiter;
static void handler(int sig) { (void)sig, atomic_fetch_add(&hits, 1); }

/* Blocked signals wait: this one comes before or during the wait, and both must be seen. */
static void *sender(void *arg)
{
	sleep_ms(arg ? 20 : 0);
	CHECK(pthread_kill(waiter, SIGUSR1) == 0);
	return NULL;
}

static int wait_ppoll(const sigset_t *m)
{
	struct timespec ts = {5, 0};

	return ppoll(NULL, 0, &ts, m);
}

static int wait_pselect(const sigset_t *m)
{
	struct timespec ts = {5, 0};

	return pselect(0, NULL, NULL, NULL, &ts, m);
}

static int wait_epoll(const sigset_t *m)
{
	struct epoll_event ev;
	int e = epoll_create1(0), r = epoll_pwait(e, &ev, 1, 5000, m), err = errno;

	close(e);
	errno = err;
	return r;
}

static void wait_with(int (*wait)(const sigset_t *))
{
	sigset_t none, mask;
	pthread_t t;

	sigemptyset(&none);
	for (long late = 0; late < 2; late++) {
		int before = atomic_load(&hits);

		CHECK(pthread_create(&t, NULL, sender, (void *)late) == 0);
		CHECK(wait(&none) == -1 && errno == EINTR && atomic_load(&hits) == before + 1);
		CHECK(pthread_join(t, NULL) == 0);
		CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1));
		hop();
	}
}

/* Waits under another mask let in what they should, once, and put the mask back; signalfd in an epoll; EAGAIN. */
int main(void)
{
	struct sigaction sa = {.sa_handler = handler};
	sigset_t usr;
	struct signalfd_siginfo info[4];
	struct epoll_event ev = {.events = EPOLLIN};

	waiter = pthread_self();
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	sigemptyset(&usr), sigaddset(&usr, SIGUSR1), sigaddset(&usr, SIGRTMIN);
	CHECK(pthread_sigmask(SIG_BLOCK, &usr, NULL) == 0);
	wait_with(wait_ppoll);
	wait_with(wait_pselect);
	wait_with(wait_epoll);
	wait_with(sigsuspend);
	int fd = signalfd(-1, &usr, SFD_NONBLOCK | SFD_CLOEXEC), e = epoll_create1(0);

	CHECK(read(fd, info, sizeof info) == -1 && errno == EAGAIN);
	CHECK(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev) == 0 && epoll_wait(e, &ev, 1, 0) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) == 0);
	CHECK(epoll_wait(e, &ev, 1, 5000) == 1);
	hop();
	CHECK(read(fd, info, sizeof info) == 3 * sizeof *info);
	for (int i = 0; i < 3; i++)
		CHECK(info[i].ssi_signo == (unsigned)SIGRTMIN && info[i].ssi_int == i && info[i].ssi_pid == (unsigned)getpid());
	CHECK(sigtimedwait(&usr, NULL, &(struct timespec){0, 0}) == -1 && errno == EAGAIN);
	success();
	return 0;
}
