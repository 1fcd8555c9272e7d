// calls: futex
#include "guest.h"

/* Threads of one node that wait for each other, and others that wake them, or are waited for, from elsewhere. */

#define PRIVATE(op) ((op) | FUTEX_PRIVATE_FLAG)

static struct { /* each in a page of its own, or not */
	_Alignas(PAGE) uint32_t word;
	_Alignas(PAGE) uint32_t lock;
	_Alignas(PAGE) _Atomic int woke;
	_Atomic int got, stop;
} s;

static long wait_bits(uint32_t val, const struct timespec *until, int flags, uint32_t bits)
{
	return sys_futex(&s.word, PRIVATE(FUTEX_WAIT_BITSET | flags), val, until, NULL, bits);
}

static void *waiter(void *arg)
{
	long bits = (long)arg;

	place(1);
	CHECK(bits ? wait_bits(7, NULL, 0, bits) == 0 : sys_futex(&s.word, PRIVATE(FUTEX_WAIT), 7, NULL, NULL, 0) == 0);
	atomic_fetch_add(&s.woke, 1);
	return NULL;
}

static void *elsewhere(void *arg)
{
	long how = (long)arg;

	place(how == 1);
	sleep_ms(10);
	__atomic_store_n(&s.word, 8, __ATOMIC_SEQ_CST);
	place(0);
	sys_futex(&s.word, PRIVATE(FUTEX_WAKE), INT_MAX, NULL, NULL, 0);
	return NULL;
}

static void counts(void)
{
	pthread_t t[8];
	int woken = 0;
	long n;

	s.word = 7;
	for (long i = 0; i < 5; i++)
		CHECK(pthread_create(&t[i], NULL, waiter, NULL) == 0);
	while (woken < 5) {
		CHECK((n = sys_futex(&s.word, PRIVATE(FUTEX_WAKE), 2, NULL, NULL, 0)) >= 0 && n <= 2);
		woken += n;
	}
	for (int i = 0; i < 5; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(s.woke == 5 && sys_futex(&s.word, PRIVATE(FUTEX_WAKE), 2, NULL, NULL, 0) == 0);

	for (long i = 0; i < 8; i++)
		CHECK(pthread_create(&t[i], NULL, waiter, (void *)(1 + i % 2)) == 0);
	for (woken = 0; woken < 4; woken += n)
		CHECK((n = sys_futex(&s.word, PRIVATE(FUTEX_WAKE_BITSET), INT_MAX, NULL, NULL, 2)) >= 0 && woken + n <= 4);
	for (int i = 1; i < 8; i += 2)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(s.woke == 9);
	for (woken = 0; woken < 4; woken += n)
		CHECK((n = sys_futex(&s.word, PRIVATE(FUTEX_WAKE), 1, NULL, NULL, 0)) >= 0 && n <= 1);
	for (int i = 0; i < 8; i += 2)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(s.woke == 13 && wait_bits(7, NULL, 0, 0) == -1 && errno == EINVAL);
	CHECK(sys_futex(&s.word, PRIVATE(FUTEX_WAIT), 8, NULL, NULL, 0) == -1 && errno == EAGAIN);
	CHECK(sys_futex((void *)((char *)&s.word + 1), PRIVATE(FUTEX_WAIT), 8, NULL, NULL, 0) == -1 && errno == EINVAL);
}

static void *requeued(void *arg)
{
	(void)arg;
	place(1);
	atomic_fetch_add(&s.got, 1);
	CHECK(sys_futex(&s.word, PRIVATE(FUTEX_WAIT), 7, NULL, NULL, 0) == 0 || errno == EAGAIN);
	atomic_fetch_add(&s.woke, 1);
	return NULL;
}

/* Who waits for one word is told to wait for another, as the condition variables of some C libraries do. */
static void requeue(void)
{
	pthread_t t;

	for (int round = 0; round < 20; round++) {
		s.word = 7, s.lock = 0;
		s.got = 0;
		s.woke = 0;
		CHECK(pthread_create(&t, NULL, requeued, NULL) == 0);
		while (s.got == 0)
			sched_yield();
		sleep_ms(round % 3);
		__atomic_store_n(&s.word, 8, __ATOMIC_SEQ_CST);
		CHECK(sys_futex(&s.word, PRIVATE(FUTEX_REQUEUE), 0, (void *)1, &s.lock, 0) >= 0);
		while (s.woke == 0)
			CHECK(sys_futex(&s.lock, PRIVATE(FUTEX_WAKE), 1, NULL, NULL, 0) >= 0);
		CHECK(pthread_join(t, NULL) == 0);
	}
	s.word = 7;
}

static struct timespec later(clockid_t clock, long ms)
{
	struct timespec ts;

	CHECK(clock_gettime(clock, &ts) == 0);
	ts.tv_nsec += ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000, ts.tv_nsec %= 1000000000;
	return ts;
}

static void times(void)
{
	struct timespec until, now, wrong = {1, 1000000000}, past = {1, 0};

	for (int ms = 0; ms < 60; ms += 7) {
		clockid_t clock = ms % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;

		until = later(clock, ms);
		CHECK(wait_bits(7, &until, clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0, 1) == -1 && errno == ETIMEDOUT);
		CHECK(clock_gettime(clock, &now) == 0);
		CHECK(now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec));
	}
	CHECK(wait_bits(7, &wrong, 0, 1) == -1 && errno == EINVAL && wait_bits(7, &past, 0, 1) == -1 && errno == ETIMEDOUT);
	CHECK(wait_bits(7, (void *)8, 0, 1) == -1 && errno == EFAULT);
	until = later(CLOCK_MONOTONIC, 1000000);
	CHECK(wait_bits(8, &until, 0, 1) == -1 && errno == EAGAIN);
}

static void from_elsewhere(void)
{
	pthread_t t;

	for (long how = 0; how < 6; how++) {
		s.word = 7;
		CHECK(pthread_create(&t, NULL, elsewhere, (void *)(how % 2)) == 0);
		while (__atomic_load_n(&s.word, __ATOMIC_SEQ_CST) == 7) /* whoever is slow: it is woken, or sees the word */
			CHECK(sys_futex(&s.word, PRIVATE(FUTEX_WAIT), 7, NULL, NULL, 0) == 0 || errno == EAGAIN);
		CHECK(pthread_join(t, NULL) == 0);
	}
}

static _Thread_local volatile int handled;
static _Atomic int all_handled;

static void handler(int sig) { (void)sig, handled++, atomic_fetch_add(&all_handled, 1); }

static void *disturbed(void *arg)
{
	long how = (long)arg;
	struct timespec until = later(CLOCK_MONOTONIC, 10000);
	uint32_t word;

	place(1);
	until = later(CLOCK_MONOTONIC, 10000);
	atomic_fetch_add(&s.got, 1);
	errno = 0;
	long ret = wait_bits(7, how & 1 ? &until : NULL, 0, 1);

	word = __atomic_load_n(&s.word, __ATOMIC_SEQ_CST);
	if (how == 2) /* SA_RESTART, no time limit: goes on */
		CHECK((ret == 0 || errno == EAGAIN) && word == 8 && handled > 0);
	else
		CHECK(ret == -1 && errno == EINTR && word == 7 && handled > 0);
	return (void *)(long)handled;
}

static void signals(void)
{
	int at_once = 0;

	for (long how = 0; how < 24; how++) {
		struct sigaction sa = {.sa_handler = handler, .sa_flags = how & 2 ? SA_RESTART : 0};
		int before = all_handled;
		void *signals;
		pthread_t t;

		s.word = 7;
		s.got = 0;
		CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && pthread_create(&t, NULL, disturbed, (void *)(how & 3)) == 0);
		while (s.got == 0)
			sleep_ms(1);
		sleep_ms(how & 4 ? 60 : 8); /* waits at its node for a while, then at home; no matter which */
		CHECK(pthread_kill(t, SIGUSR1) == 0);
		if ((how & 3) == 2) {
			while (all_handled == before)
				sleep_ms(1);
			sleep_ms(5);
			__atomic_store_n(&s.word, 8, __ATOMIC_SEQ_CST);
			sys_futex(&s.word, PRIVATE(FUTEX_WAKE), 1, NULL, NULL, 0);
			CHECK(pthread_join(t, NULL) == 0);
			continue;
		}
		for (int ms = 1; pthread_tryjoin_np(t, &signals) != 0; ms++) {
			sleep_ms(1);
			if (ms % 300 == 0) /* it came before the wait */
				CHECK(pthread_kill(t, SIGUSR1) == 0);
		}
		at_once += !(how & 4) && signals == (void *)1L;
	}
	CHECK(at_once > 0); /* of nine: one signal was enough where it waited at its node */
}

/* The lock of "Futexes are tricky" (Drepper). */
static void lock(void)
{
	uint32_t c = 0;

	if (__atomic_compare_exchange_n(&s.lock, &c, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	while (__atomic_exchange_n(&s.lock, 2, __ATOMIC_SEQ_CST) != 0)
		sys_futex(&s.lock, PRIVATE(FUTEX_WAIT), 2, NULL, NULL, 0);
}

static void unlock(void)
{
	if (__atomic_exchange_n(&s.lock, 0, __ATOMIC_SEQ_CST) == 2)
		sys_futex(&s.lock, PRIVATE(FUTEX_WAKE), 1, NULL, NULL, 0);
}

static long total;

static void *crowd(void *arg)
{
	long mine = 0;

	place(arg ? 1 : 0);
	while (!s.stop) { /* those at node 1 until the one at home has had its turns */
		lock();
		total++, mine++;
		if (!arg && mine == 20)
			s.stop = 1;
		unlock();
	}
	return (void *)mine;
}

int main(void)
{
	pthread_t t[5];
	long sum = 0;

	place(1);
	counts();
	requeue();
	times();
	from_elsewhere();
	signals();
	for (long i = 0; i < 5; i++)
		CHECK(pthread_create(&t[i], NULL, crowd, (void *)i) == 0);
	for (int i = 0; i < 5; i++) {
		void *mine;

		CHECK(pthread_join(t[i], &mine) == 0);
		sum += (long)mine;
	}
	CHECK(sum == total);
	success();
	return 0;
}
