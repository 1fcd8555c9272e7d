// args: 50
// calls: clone3
#include "guest.h"

static pthread_barrier_t barrier;
static int rounds;
static long cell[4];
static _Atomic int serials;

/* A barrier: after each round every thread sees every other thread's last word. */
static void *worker(void *arg)
{
	long me = (long)arg;

	place(me);
	for (int i = 1; i <= rounds; i++) {
		cell[me] = i * 10 + me;
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			atomic_fetch_add(&serials, 1);
		for (int t = 0; t < 4; t++)
			CHECK(cell[t] == i * 10 + t);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	pthread_barrier_init(&barrier, NULL, 4);
	run_threads(4, worker);
	CHECK(atomic_load(&serials) == rounds);
	success();
	return 0;
}
