// calls: clone3 futex
#include "guest.h"

static uint32_t a[1024] __attribute__((aligned(PAGE))), b[1024] __attribute__((aligned(PAGE)));

static void *waiter(void *arg)
{
	uint32_t *word = (long)arg ? b : a;

	place((long)arg);
	while (sys_futex(word, FUTEX_WAIT, 0, NULL, NULL, 0) != 0)
		CHECK(errno == EINTR || errno == EAGAIN);
	return NULL;
}

static long wake_op(int op, int oparg, int cmp, int cmparg)
{
	return sys_futex(a, FUTEX_WAKE_OP, 1, (void *)1, b, FUTEX_OP(op, oparg, cmp, cmparg));
}

/* WAKE_OP changes the second word atomically, on a page that is elsewhere, and wakes by what it was. */
int main(void)
{
	pthread_t t[2];

	b[0] = 5;
	CHECK(wake_op(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5) == 0 && b[0] == 8);
	hop();
	CHECK(wake_op(FUTEX_OP_OR, 1, FUTEX_OP_CMP_EQ, 0) == 0 && b[0] == 9);
	CHECK(wake_op(FUTEX_OP_ANDN, 8, FUTEX_OP_CMP_LT, 0) == 0 && b[0] == 1);
	CHECK(wake_op(FUTEX_OP_XOR, 3, FUTEX_OP_CMP_NE, 0) == 0 && b[0] == 2);
	CHECK(wake_op(FUTEX_OP_SET, 0, FUTEX_OP_CMP_GT, 100) == 0 && b[0] == 0);
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, waiter, (void *)i);
	for (long woke = 0; woke < 2; sched_yield()) {
		hop();
		long n = wake_op(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);

		CHECK(n >= 0 && n <= 2);
		woke += n;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
