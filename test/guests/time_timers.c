// calls: clock_nanosleep rt_sigaction rt_sigreturn timer_create timer_delete timer_settime
#include "guest.h"

static _Atomic int fired, value;

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	atomic_store(&value, si->si_value.sival_int);
	atomic_fetch_add(&fired, 1);
}

static void on_thread(union sigval v)
{
	atomic_store(&value, v.sival_int);
	atomic_fetch_add(&fired, 1);
}

static void arm(timer_t timer, long first_ns, long every_ns)
{
	struct itimerspec its = {{0, every_ns}, {0, first_ns}};

	CHECK(timer_settime(timer, 0, &its, NULL) == 0);
}

/* POSIX timers: by signal, periodic, by a thread of the C library; deleted, they are quiet. */
int main(void)
{
	timer_t timer;
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 42};

	CHECK(sigaction(SIGRTMIN + 3, &sa, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
	arm(timer, 10000000, 5000000);
	while (atomic_load(&fired) < 5)
		sched_yield();
	CHECK(atomic_load(&value) == 42 && timer_delete(timer) == 0);
	hop();
	int before = atomic_load(&fired);

	sleep_ms(20);
	CHECK(atomic_load(&fired) == before);
	struct sigevent th = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread, .sigev_value.sival_int = 7};

	CHECK(timer_create(CLOCK_MONOTONIC, &th, &timer) == 0);
	arm(timer, 10000000, 0);
	while (atomic_load(&fired) == before)
		sleep_ms(1);
	CHECK(atomic_load(&value) == 7 && timer_delete(timer) == 0);
	success();
	return 0;
}
