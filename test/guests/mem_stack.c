// calls: clone3
#include "faulting.h"

static uint64_t __attribute__((noinline)) deep(int depth)
{
	volatile char local[2000];

	for (int i = 0; i < 2000; i += 500)
		local[i] = depth + i;
	if (depth % 500 == 0)
		hop();
	uint64_t below = depth ? deep(depth - 1) : 0;

	for (int i = 0; i < 2000; i += 500)
		CHECK(local[i] == (char)(depth + i));
	return below * 3 + local[0];
}

static void *in_thread(void *arg)
{
	place((long)arg);
	uint64_t *out = malloc(sizeof *out);

	*out = deep(2000);
	return out;
}

/* The main stack grows by four megabytes, a thread's own is used to its end; every frame survives. */
int main(void)
{
	pthread_t t;
	void *got;
	uint64_t want = deep(2000);

	CHECK(pthread_create(&t, NULL, in_thread, (void *)1) == 0 && pthread_join(t, &got) == 0);
	CHECK(*(uint64_t *)got == want);
	printf("%016llx\n", (unsigned long long)want);
	success();
	return 0;
}
