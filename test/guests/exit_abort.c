// exit: 134
// calls: clone3 prlimit64
#include "guest.h"
#include <sys/resource.h>

static void *worker(void *arg)
{
	place((long)arg);
	if ((long)arg == 1) {
		success();
		abort();
	}
	sleep_ms(100000);
	return NULL;
}

/* abort in a thread: the parent sees SIGABRT. */
int main(void)
{
	struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	run_threads(2, worker);
	return 1;
}
