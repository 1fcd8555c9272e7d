// args: 100
// calls: clone3
#include "guest.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;
static int rounds;

/* A mutex between threads of all nodes. */
static void *worker(void *arg)
{
	place((long)arg);
	for (int i = 0; i < rounds; i++) {
		pthread_mutex_lock(&mutex);
		long seen = counter;

		if (i % 16 == 0)
			sched_yield();
		counter = seen + 1;
		pthread_mutex_unlock(&mutex);
	}
	place(0);
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	run_threads(4, worker);
	CHECK(counter == 4L * rounds);
	success();
	return 0;
}
