// calls: clone3 futex
#include "guest.h"

/* The two words on pages of their own. */
static uint32_t first[1024] __attribute__((aligned(PAGE))), second[1024] __attribute__((aligned(PAGE)));
static _Atomic int woken;

static void *waiter(void *arg)
{
	place((long)arg);
	while (sys_futex(first, FUTEX_WAIT, 0, NULL, NULL, 0) != 0)
		CHECK(errno == EINTR);
	atomic_fetch_add(&woken, 1);
	return NULL;
}

/* REQUEUE and CMP_REQUEUE move waiters from one word to another; a wrong value is EAGAIN. */
int main(void)
{
	pthread_t t[6];
	long moved = 0, woke = 0;

	for (long i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, waiter, (void *)i);
	CHECK(sys_futex(first, FUTEX_CMP_REQUEUE, 1, (void *)6, second, 1) == -1 && errno == EAGAIN);
	while (moved < 3) {
		long n = sys_futex(first, FUTEX_CMP_REQUEUE, 0, (void *)(3 - moved), second, 0);

		CHECK(n >= 0);
		moved += n;
		sched_yield();
	}
	hop();
	while (moved < 6) {
		long n = sys_futex(first, FUTEX_REQUEUE, 0, (void *)(6 - moved), second, 0);

		CHECK(n >= 0);
		moved += n;
		sched_yield();
	}
	/* A spurious wake-up queues a waiter on its first word again (futex_wait, kernel/futex/waitwake.c): seldom. */
	woke = sys_futex(first, FUTEX_WAKE, 10, NULL, NULL, 0);
	CHECK(woke >= 0 && woke < 6 && atomic_load(&woken) <= woke);
	while (woke < 6)
		woke += sys_futex(second, FUTEX_WAKE, 2, NULL, NULL, 0) + sys_futex(first, FUTEX_WAKE, 2, NULL, NULL, 0);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
