// calls: clock_nanosleep clone3 read
#include "guest.h"

static _Atomic int cleaned, ready;
static int p[2];

static void clean(void *arg) { atomic_fetch_add(&cleaned, (long)arg); }

/* Cancelling threads that sleep, read, wait for a condition, or compute; their clean-up runs. */
static void *worker(void *arg)
{
	long how = (long)arg;
	char c;
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	place(how);
	pthread_cleanup_push(clean, (void *)(how + 1));
	if (how == 3)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	atomic_fetch_add(&ready, 1);
	switch (how) {
	case 0:
		sleep_ms(100000);
		break;
	case 1:
		CHECK(read(p[0], &c, 1) == -2);
		break;
	case 2:
		pthread_mutex_lock(&m);
		for (;;)
			pthread_cond_wait(&cond, &m);
		break;
	default:
		for (;;)
			__asm__ volatile("" ::: "memory");
	}
	pthread_cleanup_pop(0);
	return NULL;
}

int main(void)
{
	pthread_t t[4];
	void *got;

	CHECK(pipe(p) == 0);
	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	while (atomic_load(&ready) < 4)
		sched_yield();
	sleep_ms(10);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_cancel(t[i]) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], &got) == 0 && got == PTHREAD_CANCELED);
	CHECK(atomic_load(&cleaned) == 10);
	success();
	return 0;
}
