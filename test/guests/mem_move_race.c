// args: 30
// soak: 2000
#include "faulting.h"
#include <sys/wait.h>

enum { PAGES = 6, READERS = 3 };
static _Atomic int stop;
static char *_Atomic current;

/* One thread moves memory about, grows, restricts and forks it while others read: they see the right byte or fault. */
static void *reader(void *arg)
{
	int i = (long)arg % PAGES;

	place((long)arg);
	while (!atomic_load(&stop)) {
		char *p = atomic_load(&current);

		if (sigsetjmp(fault_back, 1) == 0) {
			char c = *(volatile char *)(p + i * PAGE + 3);

			CHECK(c == 'A' + i);
		}
		sched_yield();
	}
	return NULL;
}

static void forked(char *p)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (child == 0) {
		for (int i = 0; i < PAGES; i++)
			if (p[i * PAGE + 3] != 'A' + i)
				_exit(1);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	char *area = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p = area;
	pthread_t t[READERS];

	CHECK(area != MAP_FAILED && mprotect(p, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
	for (int i = 0; i < PAGES; i++)
		p[i * PAGE + 3] = 'A' + i;
	atomic_store(&current, p);
	catch_faults();
	for (long i = 0; i < READERS; i++)
		pthread_create(&t[i], NULL, reader, (void *)(i + 1));
	for (int r = 0; r < rounds; r++) {
		char *to = area + (r % 8 * 8) * PAGE;

		if (r % 7 == 0)
			hop();
		if (to != p) {
			CHECK(mremap(p, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
			CHECK(mmap(p, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
			atomic_store(&current, p = to);
		}
		for (int i = 0; i < PAGES; i++) {
			CHECK(p[i * PAGE + 3] == 'A' + i);
			p[i * PAGE + 100] = r;
		}
		CHECK(mprotect(p, 2 * PAGE, PROT_NONE) == 0 && mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
		if (r % 5 == 0)
			forked(p);
		for (int i = 0; i < PAGES; i++)
			CHECK(p[i * PAGE + 100] == (char)r);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
