// only: litmus
#include "litmus.h"

enum { THREADS_INC = 4 };

/* Atomic increments of one word, and of a neighbour: none is lost. */
static void *worker(void *arg)
{
	long t = (long)arg;

	litmus_place(t);
	for (long i = 0; i < rounds; i++) {
		litmus_keep_pace(i, THREADS_INC);
		atomic_fetch_add(var(0, 0), 1);
		atomic_fetch_add(var(1 + t % 2, 0), 1);
		if (i % 32 == 0)
			sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	litmus_args(argc, argv);
	run_threads(THREADS_INC, worker);
	CHECK(atomic_load(var(0, 0)) == 4 * rounds && atomic_load(var(1, 0)) == 2 * rounds);
	CHECK(atomic_load(var(2, 0)) == 2 * rounds);
	success();
	return 0;
}
