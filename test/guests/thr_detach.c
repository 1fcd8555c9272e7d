// args: 50
// soak: 2000
// calls: clone3
#include "guest.h"

static sem_t finished;

static void *worker(void *arg)
{
	place((long)arg);
	if ((long)arg % 2)
		CHECK(pthread_detach(pthread_self()) == 0);
	sem_post(&finished);
	return NULL;
}

/* Detached threads, by attribute and by themselves, end by themselves while others run. */
int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 200;
	pthread_attr_t detached;
	pthread_t t;

	CHECK(sem_init(&finished, 0, 0) == 0);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (long i = 0; i < n; i++) {
		while (pthread_create(&t, i % 2 ? NULL : &detached, worker, (void *)i) == EAGAIN)
			sched_yield();
		if (i % 10 == 9)
			for (int k = 0; k < 10; k++)
				sem_wait(&finished);
	}
	success();
	return 0;
}
