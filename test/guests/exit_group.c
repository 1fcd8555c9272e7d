// exit: 33
// calls: clock_nanosleep clone3
#include "guest.h"

static void *worker(void *arg)
{
	place((long)arg);
	if ((long)arg == 2) {
		sleep_ms(20);
		success();
		exit(33);
	}
	for (;;)
		(long)arg ? sleep_ms(1000) : (void)sched_yield();
	return NULL;
}

/* exit in one thread ends all, busy or asleep, on every node, with its code. */
int main(void)
{
	run_threads(3, worker);
	return 1;
}
