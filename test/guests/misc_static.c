// build: -static -no-pie -fno-pie
// calls: clone3
#include "guest.h"

static int counter = 5;

static void *worker(void *arg)
{
	place((long)arg);
	__atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* A static program at fixed addresses. */
int main(void)
{
	CHECK((uintptr_t)main < 0x10000000);
	hop();
	run_threads(4, worker);
	printf("counter %d\n", counter);
	success();
	return 0;
}
