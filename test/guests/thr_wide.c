// args: 32 20
// soak: 256 200
#include "guest.h"

#define MOST 256

struct row {
	uint64_t words[PAGE / sizeof(uint64_t)];
};

static struct row rows[MOST] __attribute__((aligned(PAGE)));
static pthread_barrier_t everybody;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t locked;
static _Atomic uint64_t counted;
static int threads, rounds;
static _Atomic uint64_t seen; /* a bit for each node somebody ran at */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	return x * 0x9e3779b97f4a7c15ull + 1;
}

/* Fills a page of its own, which its neighbour checks after everybody has; adds to what all share. */
static void *worker(void *arg)
{
	long me = (long)arg, other = (me + 1) % threads;
	uint64_t x = me;

	for (int r = 0; r < rounds; r++) {
		int nid = popcorn_current_nid();

		if (nid >= 0 && nid < 64)
			atomic_fetch_or(&seen, 1ull << nid);
		for (unsigned i = 0; i < PAGE / sizeof(uint64_t); i++)
			rows[me].words[i] = x = mix(x);
		atomic_fetch_add(&counted, me);
		CHECK(pthread_mutex_lock(&lock) == 0);
		locked += r;
		CHECK(pthread_mutex_unlock(&lock) == 0);
		if (r % 10 == 0) {
			pthread_barrier_wait(&everybody);
			uint64_t y = other;
			for (int k = 0; k <= r; k++)
				for (unsigned i = 0; i < PAGE / sizeof(uint64_t); i++) {
					y = mix(y);
					CHECK(k < r || rows[other].words[i] == y);
				}
			pthread_barrier_wait(&everybody);
		}
	}
	return NULL;
}

/* As many threads as are asked for at once, over all nodes: nothing of what they write is lost. */
int main(int argc, char **argv)
{
	CHECK(argc >= 3);
	threads = atoi(argv[1]);
	rounds = atoi(argv[2]);
	CHECK(threads <= MOST && pthread_barrier_init(&everybody, NULL, threads) == 0);
	run_threads(threads, worker);
	CHECK(locked == (uint64_t)threads * rounds * (rounds - 1) / 2);
	CHECK(atomic_load(&counted) == (uint64_t)threads * (threads - 1) / 2 * rounds);
	if (argc > 3) /* it was started to be spread over all there are */
		CHECK(atomic_load(&seen) == (nodes() < 64 ? (1ull << nodes()) - 1 : ~0ull));
	success();
	return 0;
}
