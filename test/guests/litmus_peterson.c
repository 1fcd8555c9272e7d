// only: litmus
#include "litmus.h"

static volatile long guarded;

/* Peterson's lock of two threads: right only if a store, a fence and a load keep their order everywhere. */
static void *worker(void *arg)
{
	enum { c = 0, TURN = 2 };
	int me = (long)arg;

	litmus_place(me);
	for (long i = 0; i < rounds; i++) {
		litmus_keep_pace(i, 2);
		ST(me, 1);
		ST(TURN, 1 - me);
		FENCE();
		while (LD(1 - me) && LD(TURN) == 1 - me)
			sched_yield();
		guarded = guarded + 1;
		ST(me, 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	litmus_args(argc, argv);
	run_threads(2, worker);
	CHECK(guarded == 2 * rounds);
	success();
	return 0;
}
