// only: core_test.go
#include "guest.h"
#include <sys/resource.h>

#define WORDS 4096
long words[3][WORDS];
long *volatile heap[3];
static _Atomic int ready;

__attribute__((noinline, noclone)) void stand_here(int me)
{
	volatile int mine = me * 11;

	atomic_fetch_add(&ready, 1);
	while (mine)
		; /* computes where it is */
}

__attribute__((noinline)) static void crash_here(char *how)
{
	switch (*how) {
	case 's': *(volatile int *)0x1234 = 1; break;
	case 'a': abort();
	case 'q': stand_here(3); /* where quit() finds it */
	case 'f': __asm__ volatile("ud2"); break;
	}
}

static char *how_to_end;

/* Ends the program when all others compute, as a person would from outside. */
static void quit(void)
{
	while (atomic_load(&ready) < 3)
		sched_yield();
	for (kill(getpid(), SIGQUIT);;)
		pause();
}

static void *worker(void *arg)
{
	int me = (long)arg;

	place(me);
	if (me == 3)
		quit();
	heap[me] = malloc(WORDS * sizeof(long));
	for (int i = 0; i < WORDS; i++)
		words[me][i] = heap[me][i] = me * 1000000 + i;
	if (me < 2)
		stand_here(me + 1);
	while (atomic_load(&ready) < 2)
		sched_yield();
	crash_here(how_to_end);
	return NULL;
}

/* Threads fill memory where they are; then one ends the program with a core dump. */
int main(int argc, char **argv)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	CHECK(argc == 2 && setrlimit(RLIMIT_CORE, &all) == 0);
	how_to_end = argv[1];
	run_threads(*how_to_end == 'q' ? 4 : 3, worker);
	return 0;
}
