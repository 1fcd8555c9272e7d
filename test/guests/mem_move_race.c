// args: 30
// soak: 2000
// calls: clone clone3 exit_group mmap mprotect mremap munmap wait4
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

/* Memory across a multiple of 2 MiB, of which one side was never used, is one mapping all the same. */
static void across(void)
{
	size_t chunk = 2 << 20;
	char *m = mmap(NULL, 3 * chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *to;
	char *p = (char *)(((uintptr_t)m + chunk - 1) & -chunk) + chunk - 3 * PAGE;

	CHECK(m != MAP_FAILED);
	p[PAGE] = 'l';
	to = mremap(p, 6 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
	CHECK(to != MAP_FAILED && to != p && to[PAGE] == 'l' && to[5 * PAGE] == 0 && to[599 * PAGE] == 0);
	to[4 * PAGE] = 'r';
	CHECK(mremap(to, 600 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p && p[PAGE] == 'l');
	/* The same where the side that was used is the second, and nothing grows. */
	p[10 * PAGE + chunk] = 's';
	to = mmap(NULL, 20 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mremap(p - PAGE + chunk, 20 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to && to[11 * PAGE] == 's' && to[PAGE] == 0);
	CHECK(munmap(m, 3 * chunk) == 0 && munmap(to, 20 * PAGE) == 0);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	size_t chunk = 2 << 20;
	char *area = mmap(NULL, 3 * chunk, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	pthread_t t[READERS];

	CHECK(area != MAP_FAILED);
	/* The first place lies across a multiple of 2 MiB. */
	p = area = (char *)(((uintptr_t)area + chunk - 1) & -chunk) + chunk - 3 * PAGE;
	CHECK(mprotect(p, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
	for (int i = 0; i < PAGES; i++)
		p[i * PAGE + 3] = 'A' + i;
	atomic_store(&current, p);
	hop();
	across();
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
