// calls: clone3 futex
#include "guest.h"

static uint32_t word;
static _Atomic int order;

static void *waiter(void *arg)
{
	long bit = (long)arg;

	place(bit);
	while (sys_futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1u << bit) != 0)
		CHECK(errno == EINTR);
	CHECK(atomic_fetch_add(&order, 1) == bit);
	return NULL;
}

/* WAIT_BITSET and WAKE_BITSET wake by bit, whoever came first. */
int main(void)
{
	pthread_t t[4];

	for (long i = 3; i >= 0; i--)
		pthread_create(&t[i], NULL, waiter, (void *)i);
	for (int i = 0; i < 4; i++) {
		hop();
		while (sys_futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 1u << i) != 1)
			sched_yield();
		pthread_join(t[i], NULL);
	}
	CHECK(sys_futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
	success();
	return 0;
}
