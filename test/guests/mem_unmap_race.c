// args: 40
// soak: 2000
// calls: clone3 mmap munmap
#include "faulting.h"

static _Atomic int stop;
static char *_Atomic current;

/* One thread maps, fills and unmaps while others read: each read sees the right byte, zero, or faults; never another's. */
static void *reader(void *arg)
{
	place((long)arg);
	while (!atomic_load(&stop)) {
		char *p = atomic_load(&current);

		if (sigsetjmp(fault_back, 1) == 0 && p) {
			char c = *(volatile char *)(p + 3 * PAGE + 1);

			CHECK(c == 0 || c == 'v');
		}
		sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 200;
	pthread_t t[2];

	catch_faults();
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, reader, (void *)(i + 1));
	for (int r = 0; r < rounds; r++) {
		char *p = mmap((void *)0x300000000000, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		CHECK(p != MAP_FAILED);
		atomic_store(&current, p);
		memset(p, 'v', 8 * PAGE);
		sched_yield();
		CHECK(p[0] == 'v' && munmap(p, 8 * PAGE) == 0);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
