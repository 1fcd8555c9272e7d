// only: checkpoint
/* A robust mutex whose owner ends after the restore is handed on; restartable sequences are registered as before. */
#include "carry.h"

static pthread_mutex_t robust;
static atomic_int locked, go_on;

static void *owner(void *arg)
{
	(void)arg;
	CHECK(pthread_mutex_lock(&robust) == 0);
	locked = 1;
	while (!go_on)
		sleep_ms(1);
	return NULL; /* without unlocking */
}

int main(void)
{
	pthread_mutexattr_t a;
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &a);
	CHECK(pthread_create(&t, NULL, owner, NULL) == 0);
	while (!locked)
		sleep_ms(1);
	saved();
	CHECK(pthread_mutex_trylock(&robust) == EBUSY);
	go_on = 1;
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD && pthread_mutex_consistent(&robust) == 0);
	CHECK(pthread_mutex_unlock(&robust) == 0 && sched_getcpu() >= 0);
	success();
}
