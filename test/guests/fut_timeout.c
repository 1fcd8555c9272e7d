// calls: clone3 futex
#include "guest.h"

static uint32_t word;

static struct timespec in_ms(clockid_t clock, int ms)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_nsec += ms * 1000000L;
	ts.tv_sec += ts.tv_nsec / 1000000000, ts.tv_nsec %= 1000000000;
	return ts;
}

/* Timeouts: relative, absolute on both clocks, already past, and through mutex, condition and semaphore. */
static void *worker(void *arg)
{
	struct timespec ts = {0, 20000000};
	double start = now();
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	sem_t s;

	place((long)arg);
	CHECK(sys_futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0) == -1 && errno == ETIMEDOUT && now() - start >= 0.0199);
	start = now(), ts = in_ms(CLOCK_MONOTONIC, 20);
	CHECK(sys_futex(&word, FUTEX_WAIT_BITSET, 0, &ts, NULL, ~0u) == -1 && errno == ETIMEDOUT && now() - start >= 0.0199);
	start = now(), ts = in_ms(CLOCK_REALTIME, 20);
	CHECK(sys_futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &ts, NULL, ~0u) == -1 && errno == ETIMEDOUT);
	CHECK(now() - start >= 0.018);
	ts.tv_sec = 1, ts.tv_nsec = 0;
	CHECK(sys_futex(&word, FUTEX_WAIT_BITSET, 0, &ts, NULL, ~0u) == -1 && errno == ETIMEDOUT);
	ts.tv_nsec = -1;
	CHECK(sys_futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0) == -1 && errno == EINVAL);
	ts = in_ms(CLOCK_REALTIME, 10);
	pthread_mutex_lock(&m);
	CHECK(pthread_cond_timedwait(&c, &m, &ts) == ETIMEDOUT);
	ts = in_ms(CLOCK_REALTIME, 10);
	CHECK(pthread_mutex_timedlock(&m, &ts) == ETIMEDOUT && pthread_mutex_unlock(&m) == 0);
	CHECK(sem_init(&s, 0, 0) == 0);
	ts = in_ms(CLOCK_REALTIME, 10);
	CHECK(sem_timedwait(&s, &ts) == -1 && errno == ETIMEDOUT);
	CHECK(sem_post(&s) == 0 && sem_timedwait(&s, &ts) == 0);
	return NULL;
}

int main(void)
{
	run_threads(3, worker);
	success();
	return 0;
}
