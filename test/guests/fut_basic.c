// calls: clone3 futex
#include "guest.h"

static uint32_t word, go_on;
static _Atomic int woken;

static void *waiter(void *arg)
{
	place((long)arg);
	while (sys_futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0) != 0)
		CHECK(errno == EAGAIN || errno == EINTR);
	atomic_fetch_add(&woken, 1);
	return NULL;
}

/* Wakes exactly n, waiting until they sleep. */
static void wake(int n)
{
	for (int got = 0; got < n; sched_yield())
		got += sys_futex(&word, FUTEX_WAKE, n - got, NULL, NULL, 0);
}

/* WAIT and WAKE of one, some and all; a changed word is EAGAIN; wake with nobody waiting is 0; a bad word EFAULT. */
int main(void)
{
	pthread_t t[6];

	CHECK(sys_futex(&go_on, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
	CHECK(sys_futex(&go_on, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
	CHECK(sys_futex((uint32_t *)16, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EFAULT);
	CHECK(sys_futex((uint32_t *)((char *)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0) == -1 && errno == EINVAL);
	for (long i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, waiter, (void *)i);
	hop();
	wake(1), wake(2), wake(3);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	CHECK(atomic_load(&woken) == 6);
	success();
	return 0;
}
