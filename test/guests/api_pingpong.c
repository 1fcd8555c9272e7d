// args: 200
// soak: 20000
// calls: clone3
#include "guest.h"

static _Atomic int word;
static int turns;

/* Two threads on two nodes alternate on one word; the rate goes to standard error. */
static void *player(void *arg)
{
	int me = (long)arg;

	place(me);
	for (int i = 0; i < turns; i++) {
		while (atomic_load(&word) % 2 != me)
			sched_yield();
		atomic_fetch_add(&word, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	turns = argc > 1 ? atoi(argv[1]) : 1000;

	double start = now();

	run_threads(2, player);
	CHECK(atomic_load(&word) == 2 * turns);
	fprintf(stderr, "%.0f turns a second\n", 2 * turns / (now() - start));
	success();
	return 0;
}
