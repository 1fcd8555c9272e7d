// exit: 7
// calls: clone3 exit_group
#include "guest.h"

static void last(void) { puts("EXIT-SUCCESS"); }
static void before(void) { puts("atexit runs"); }
static __attribute__((destructor)) void destructor(void) { fflush(stdout); }

static void *worker(void *arg)
{
	place(1);
	exit(7);
	return arg;
}

/* Handlers and destructors run, in order, in the thread that calls exit, wherever it is. */
int main(void)
{
	atexit(last);
	atexit(before);
	run_threads(1, worker);
	return 1;
}
