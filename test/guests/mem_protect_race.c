// args: 20
// soak: 500
// calls: clock_nanosleep clone3 mprotect
#include "faulting.h"

static char *page;
static _Atomic int stop;
static _Atomic long writes;

/* Writers on other nodes: after mprotect returned, nobody may write until it is given back. */
static void *writer(void *arg)
{
	place((long)arg);
	while (!atomic_load(&stop)) {
		if (probe(page, true) == 0)
			atomic_fetch_add(&writes, 1);
		sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	pthread_t t[2];

	page = map_pages(1);
	catch_faults();
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, writer, (void *)(i + 1));
	for (int r = 0; r < rounds; r++) {
		long seen = atomic_load(&writes);

		while (atomic_load(&writes) == seen)
			sched_yield();
		CHECK(mprotect(page, PAGE, PROT_READ) == 0);
		/* A write that happened before the call may still be counted, once a writer. */
		seen = atomic_load(&writes);
		sleep_ms(2);
		CHECK(atomic_load(&writes) <= seen + 2);
		CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
