// args: 60
// soak: 3000
// calls: clone3 futex
#include "guest.h"

static pthread_mutex_t mutex;
static int rounds;
static long counter;
static uint32_t raw[1024] __attribute__((aligned(PAGE)));

/* Priority-inheriting mutexes, by the library and by FUTEX_LOCK_PI itself, contended across nodes. */
static void *worker(void *arg)
{
	uint32_t tid = popcorn_gettid();

	place((long)arg);
	for (int i = 0; i < rounds; i++) {
		CHECK(pthread_mutex_lock(&mutex) == 0);
		counter++;
		if (i % 8 == 0)
			sched_yield();
		CHECK(pthread_mutex_unlock(&mutex) == 0);
		uint32_t zero = 0, mine = tid;

		if (!__atomic_compare_exchange_n(raw, &zero, tid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			CHECK(sys_futex(raw, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
		CHECK((__atomic_load_n(raw, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) == tid);
		raw[1]++;
		if (!__atomic_compare_exchange_n(raw, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			CHECK(sys_futex(raw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;

	rounds = argc > 1 ? atoi(argv[1]) : 500;
	CHECK(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
	CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK) == 0);
	CHECK(pthread_mutex_init(&mutex, &attr) == 0);
	run_threads(3, worker);
	CHECK(counter == 3L * rounds && raw[1] == 3u * rounds && raw[0] == 0);
	CHECK(pthread_mutex_unlock(&mutex) == EPERM && pthread_mutex_lock(&mutex) == 0);
	CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
	CHECK(sys_futex(raw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == -1 && errno == EPERM);
	success();
	return 0;
}
