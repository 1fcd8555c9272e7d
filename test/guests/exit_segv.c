// exit: 139
// calls: clone3 prlimit64
#include "guest.h"
#include <sys/resource.h>

/* A fault nobody handles, in a thread that is away: the parent sees SIGSEGV. */
static void *worker(void *arg)
{
	place(1);
	success();
	*(volatile int *)arg = 1;
	return NULL;
}

int main(void)
{
	struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	run_threads(1, worker);
	return 1;
}
