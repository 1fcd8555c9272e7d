// args: 2000
// soak: 200000
// calls: clone3
#include "guest.h"

static int rounds;
static struct {
	_Atomic uint64_t add, xor;
	_Atomic uint32_t cas;
	_Atomic uint8_t byte[4];
} s __attribute__((aligned(64)));

/* Read-modify-writes of every width on one page from all nodes: none may be lost. */
static void *worker(void *arg)
{
	long me = (long)arg;

	place(me);
	for (int i = 0; i < rounds; i++) {
		atomic_fetch_add(&s.add, 3);
		atomic_fetch_xor(&s.xor, 1ull << (me * 8 + i % 8));
		uint32_t old = atomic_load(&s.cas);

		while (!atomic_compare_exchange_weak(&s.cas, &old, old + 5))
			;
		atomic_fetch_add(&s.byte[me], 1);
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = (argc > 1 ? atoi(argv[1]) : 20000) / 16 * 16;
	run_threads(4, worker);
	CHECK(s.add == 12ull * rounds && s.cas == 20u * rounds && s.xor == 0);
	for (int i = 0; i < 4; i++)
		CHECK(s.byte[i] == (uint8_t)rounds);
	success();
	return 0;
}
