// args: 32 5
// soak: 32 100
// calls: clone3
#include "guest.h"

static pthread_barrier_t barrier;
static int rounds;
static uint64_t sums[MAX_THREADS];

static void *worker(void *arg)
{
	long t = (long)arg;

	for (int r = 0; r < rounds; r++) {
		pthread_barrier_wait(&barrier);
		go(1);
		for (int i = 0; i < 1000; i++)
			sums[t] += hash_bytes(&i, sizeof i) % 1000 + t;
		go(0);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* Many threads, many rounds: barrier, to node 1, work, back, barrier. */
int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 32;
	uint64_t all = 0;

	rounds = argc > 2 ? atoi(argv[2]) : 100;
	pthread_barrier_init(&barrier, NULL, threads);
	run_threads(threads, worker);
	for (int t = 0; t < threads; t++)
		all += sums[t];
	printf("%d threads, %d rounds, sum %llu\n", threads, rounds, (unsigned long long)all);
	success();
	return 0;
}
