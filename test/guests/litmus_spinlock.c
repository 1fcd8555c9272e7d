// only: litmus
#include "litmus.h"

enum { LOCKERS = 4 };
static struct {
	volatile long value;
} guarded[2] __attribute__((aligned(PAGE)));

/* A test-and-set lock with a plain store to release it; what it guards is plain memory, beside it or elsewhere. */
static void *worker(void *arg)
{
	volatile long *beside = (volatile long *)&var_pages[0].cell[64], *plain = same_page ? beside : &guarded[0].value;

	litmus_place((long)arg);
	for (long i = 0; i < rounds; i++) {
		litmus_keep_pace(i, LOCKERS);
		while (atomic_exchange_explicit(var(0, 0), 1, memory_order_acquire))
			sched_yield();
		*plain = *plain + 1;
		atomic_store_explicit(var(0, 0), 0, memory_order_release);
	}
	litmus_meet(LOCKERS);
	CHECK(*plain == LOCKERS * rounds);
	return NULL;
}

int main(int argc, char **argv)
{
	litmus_args(argc, argv);
	run_threads(LOCKERS, worker);
	success();
	return 0;
}
