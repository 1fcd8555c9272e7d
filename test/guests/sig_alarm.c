// calls: alarm clock_nanosleep getitimer pause rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend
// calls: setitimer
#include "guest.h"

static _Atomic int fired;
static void handler(int sig) { atomic_fetch_add(&fired, sig == SIGALRM ? 1 : 1000); }

/* alarm, setitimer, pause and sigsuspend. */
int main(void)
{
	struct itimerval it = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}}, got;
	struct sigaction sa = {.sa_handler = handler};
	sigset_t block, none;
	unsigned long spin = 1;

	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (atomic_load(&fired) < 5)
		spin = spin * 3 + 1;
	CHECK(getitimer(ITIMER_REAL, &got) == 0 && got.it_interval.tv_usec == 5000);
	CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
	hop();
	sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	int before = atomic_load(&fired);

	it.it_interval.tv_usec = 0;
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	sleep_ms(15);
	CHECK(atomic_load(&fired) == before && sigsuspend(&none) == -1 && errno == EINTR);
	CHECK(atomic_load(&fired) == before + 1);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	hop();
	CHECK(alarm(100) == 0 && alarm(1) == 100 && pause() == -1 && errno == EINTR && atomic_load(&fired) == before + 2);
	success();
	return spin == 0;
}
