// calls: clock_nanosleep clone3 pause rt_sigaction rt_sigprocmask rt_sigreturn timer_create timer_delete
// calls: timer_getoverrun timer_gettime timer_settime
#include "guest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Thread_local _Atomic int mine;
static _Atomic int *at[3];
static _Atomic int wrong, overruns, called;
static timer_t timers[3];

static void handler(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	if (si->si_code != SI_TIMER || at[si->si_value.sival_int] != &mine)
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add(&mine, 1);
	atomic_fetch_add(&overruns, si->si_overrun);
}

static void *worker(void *arg)
{
	long me = (long)arg;
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = me};
	long period = me == 1 ? 20000000 : 4000000;
	struct itimerspec its = {{0, period}, {0, period}}, got;
	unsigned long x = 1;
	int n;

	place(me);
	at[me] = &mine;
	ev.sigev_notify_thread_id = popcorn_gettid();
	CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timers[me]) == 0 && timer_settime(timers[me], 0, &its, NULL) == 0);
	CHECK(timer_gettime(timers[me], &got) == 0 && got.it_interval.tv_nsec == period);
	if (me != 1)
		while (atomic_load(&mine) < 10)
			x = x * 3 + 1;
	/* Ever slower, that some pause begins before its signal, however long a signal takes. */
	else
		while ((n = atomic_load(&mine)) < 6) {
			its.it_value.tv_nsec = its.it_interval.tv_nsec = period << n;
			CHECK(timer_settime(timers[me], 0, &its, NULL) == 0);
			pause();
		}
	CHECK(timer_delete(timers[me]) == 0);
	return (void *)(x & 0);
}

/* Where nothing signals, these calls are made where the thread is. */
static void *quiet(void *arg)
{
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	struct itimerspec its = {{0, 1000000}, {0, 1000000}};
	timer_t timer;

	place((long)arg);
	CHECK(timer_create(CLOCK_MONOTONIC, &none, &timer) == 0 && timer_settime(timer, 0, &its, NULL) == 0);
	sleep_ms(5);
	CHECK(timer_gettime(timer, &its) == 0 && its.it_value.tv_nsec <= 1000000);
	CHECK(timer_getoverrun(timer) >= 0 && timer_delete(timer) == 0);
	return NULL;
}

static void notify(union sigval v) { atomic_fetch_add(&called, v.sival_int); }

/* Timers that signal one thread each, count overruns, call a function, do nothing, or have an absolute time. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	struct sigevent fn = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 1};
	struct itimerspec its = {{0, 1000000}, {0, 1000000}};
	timer_t timer;
	sigset_t set, old;

	CHECK(sigaction(SIGRTMIN + 1, &sa, NULL) == 0);
	run_threads(3, worker);
	CHECK(wrong == 0);
	hop();
	struct sigevent self = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1};

	self.sigev_notify_thread_id = popcorn_gettid();
	at[0] = &mine;
	sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1), sigprocmask(SIG_BLOCK, &set, &old);
	CHECK(timer_create(CLOCK_REALTIME, &self, &timer) == 0 && timer_settime(timer, 0, &its, NULL) == 0);
	sleep_ms(20);
	atomic_store(&overruns, 0), atomic_store(&mine, 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	while (atomic_load(&mine) == 0)
		sched_yield();
	CHECK(overruns >= 10 && wrong == 0 && timer_getoverrun(timer) >= 0 && timer_delete(timer) == 0);
	hop();
	run_threads(3, quiet);
	CHECK(timer_create(CLOCK_MONOTONIC, &fn, &timer) == 0);
	memset(&its, 0, sizeof its);
	clock_gettime(CLOCK_MONOTONIC, &its.it_value);
	its.it_value.tv_nsec = (its.it_value.tv_nsec + 10000000) % 1000000000;
	CHECK(timer_settime(timer, TIMER_ABSTIME, &its, NULL) == 0);
	while (atomic_load(&called) == 0)
		sleep_ms(1);
	CHECK(called == 1 && timer_delete(timer) == 0 && timer_delete(timer) == -1 && errno == EINVAL);
	success();
	return 0;
}
