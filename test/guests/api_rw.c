// args: 8 4
// soak: 16 256
// calls: clone3
#include "guest.h"

static int threads;
static size_t words;
static uint64_t *buffer, sums[MAX_THREADS];
static pthread_barrier_t barrier;

/* Thread t, on node t/4, sums everything, then adds one to its own slice; twice. */
static void *worker(void *arg)
{
	long t = (long)arg;
	size_t lo = words / threads * t, hi = words / threads * (t + 1);

	go(nodes() ? t / 4 % nodes() : 0);
	for (int pass = 0; pass < 2; pass++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < words; i++)
			sum += buffer[i];
		sums[t] = sum;
		pthread_barrier_wait(&barrier);
		for (size_t i = lo; i < hi; i++)
			buffer[i]++;
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	threads = argc > 1 ? atoi(argv[1]) : 8;
	words = (argc > 2 ? atoi(argv[2]) : 16) * (1ul << 20) / sizeof *buffer / threads * threads;
	buffer = popcorn_malloc(words * sizeof *buffer);
	CHECK(buffer && ((uintptr_t)buffer % PAGE) == 0);

	uint64_t want = 0;

	for (size_t i = 0; i < words; i++)
		want += buffer[i] = i % 1000;
	pthread_barrier_init(&barrier, NULL, threads);
	run_threads(threads, worker);
	for (int t = 0; t < threads; t++)
		CHECK(sums[t] == want + words);
	for (size_t i = 0; i < words; i++)
		CHECK(buffer[i] == i % 1000 + 2);
	success();
	return 0;
}
