// args: 300
// soak: 50000
// calls: clone3 membarrier
#include "guest.h"
#include <linux/membarrier.h>

enum { LIGHT, HEAVY };
static int rounds;
static volatile int flag[2][1024] __attribute__((aligned(PAGE)));
static volatile int saw[2][1024] __attribute__((aligned(PAGE)));
static _Atomic int met;

static void meet(int all)
{
	atomic_fetch_add(&met, 1);
	while (atomic_load(&met) < all)
		sched_yield();
}

/* Store buffering where one side has only a compiler barrier, and the other calls membarrier(2) for both. */
static void *side(void *arg)
{
	long me = (long)arg;

	place(me);
	for (int r = 1; r <= rounds; r++) {
		flag[me][0] = r;
		if (me == HEAVY)
			CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0);
		__asm__ volatile("" ::: "memory");
		saw[me][0] = flag[1 - me][0];
		meet(4 * r - 2);
		CHECK(saw[LIGHT][0] == r || saw[HEAVY][0] == r);
		meet(4 * r);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0);
	run_threads(2, side);
	success();
	return 0;
}
