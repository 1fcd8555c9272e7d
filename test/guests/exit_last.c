// calls: clock_nanosleep clone3
#include "guest.h"

static _Atomic int left = 3;

/* Everybody ends by pthread_exit: the process ends with 0 when the last one does. */
static void *worker(void *arg)
{
	place((long)arg);
	sleep_ms(10);
	if (atomic_fetch_sub(&left, 1) == 1)
		success();
	pthread_exit(arg);
}

int main(void)
{
	pthread_t t;

	for (long i = 0; i < 3; i++)
		CHECK(pthread_create(&t, NULL, worker, (void *)i) == 0);
	pthread_exit(NULL);
}
