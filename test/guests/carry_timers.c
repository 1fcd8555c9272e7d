// only: checkpoint
/* setitimer, timer_create and timerfd go on from what was left. */
#include "carry.h"

#include <sys/timerfd.h>

static volatile sig_atomic_t alarms, rts, value;
static void onalrm(int sig) { (void)sig; alarms++; }
static void onrt(int sig, siginfo_t *info, void *c) { (void)sig; (void)c; rts++; value = info->si_value.sival_int; }

int main(void)
{
	struct itimerval it = {.it_value = {3600, 0}}, left;
	struct sigaction sa = {.sa_sigaction = onrt, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_value.sival_int = 42};
	struct itimerspec spec = {.it_value = {0, 20000000}, .it_interval = {0, 20000000}}, far = {.it_value = {7200, 0}}, tl;
	timer_t gone, timer, idle;
	uint64_t ticks;
	int fd;

	signal(SIGALRM, onalrm);
	ev.sigev_signo = SIGRTMIN + 2;
	CHECK(sigaction(SIGRTMIN + 2, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &it, NULL) == 0);
	CHECK(timer_create(CLOCK_MONOTONIC, &ev, &gone) == 0 && timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
	CHECK(timer_create(CLOCK_REALTIME, &ev, &idle) == 0 && timer_delete(gone) == 0);
	CHECK(timer_settime(timer, 0, &spec, NULL) == 0 && timer_settime(idle, 0, &far, NULL) == 0);
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	CHECK(fd >= 0 && timerfd_settime(fd, 0, &spec, NULL) == 0);
	sleep_ms(50);
	CHECK(rts > 0);
	saved();
	CHECK(getitimer(ITIMER_REAL, &left) == 0 && left.it_value.tv_sec > 3000 && left.it_value.tv_sec <= 3600);
	CHECK(timer_gettime(idle, &tl) == 0 && tl.it_value.tv_sec > 6600 && tl.it_value.tv_sec <= 7200);
	for (int before = rts; rts == before;)
		pause();
	CHECK(value == 42 && alarms == 0);
	CHECK(read(fd, &ticks, 8) == 8 && ticks > 1);
	CHECK(timerfd_gettime(fd, &tl) == 0 && tl.it_interval.tv_nsec == 20000000);
	CHECK(timer_delete(timer) == 0 && timer_delete(idle) == 0);
	it.it_value = (struct timeval){0, 1000};
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (!alarms)
		sleep_ms(1);
	success();
}
