// args: 30
// calls: clone3
#include "guest.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t space = PTHREAD_COND_INITIALIZER, item = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t start;
static int queue[4], head, tail, rounds;
static long got[4];

/* All at once, migrating between: two producers, two consumers, a small queue, a barrier to start. */
static void *worker(void *arg)
{
	long me = (long)arg;

	place(me);
	pthread_barrier_wait(&start);
	for (int i = 0; i < rounds; i++) {
		if (i % 8 == 0)
			place(me + i);
		pthread_mutex_lock(&mutex);
		if (me < 2) {
			while (tail - head == 4)
				pthread_cond_wait(&space, &mutex);
			queue[tail++ % 4] = i;
			pthread_cond_signal(&item);
		} else {
			while (tail == head)
				pthread_cond_wait(&item, &mutex);
			got[me] += queue[head++ % 4];
			pthread_cond_signal(&space);
		}
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	pthread_barrier_init(&start, NULL, 4);
	run_threads(4, worker);
	CHECK(got[2] + got[3] == 2L * rounds * (rounds - 1) / 2);
	success();
	return 0;
}
