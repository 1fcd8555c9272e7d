// exit: 137
// calls: clock_nanosleep clone3 getpid kill
#include "guest.h"

static void *worker(void *arg)
{
	place((long)arg);
	for (;;)
		sched_yield();
	return NULL;
}

/* SIGKILL to oneself with busy threads on every node. */
int main(void)
{
	pthread_t t;

	for (long i = 0; i < 3; i++)
		pthread_create(&t, NULL, worker, (void *)i);
	sleep_ms(20);
	success();
	kill(getpid(), SIGKILL);
	pause();
	return 1;
}
