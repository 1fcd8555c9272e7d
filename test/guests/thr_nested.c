// calls: clone3
#include "guest.h"

static _Atomic int leaves;

/* Threads created by threads, which were created by threads, from whatever node those are on. */
static void *tree(void *arg)
{
	long depth = (long)arg;

	place(depth);
	if (depth == 0) {
		atomic_fetch_add(&leaves, 1);
		return NULL;
	}
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, tree, (void *)(depth - 1)) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	return NULL;
}

int main(void)
{
	tree((void *)4);
	CHECK(atomic_load(&leaves) == 16);
	success();
	return 0;
}
