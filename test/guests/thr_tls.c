// calls: clone3
#include "guest.h"

static __thread int initialised = 77;
static __thread char zeroed[3 * PAGE];
static pthread_key_t key;
static _Atomic int destroyed;

static void destroy(void *value) { atomic_fetch_add(&destroyed, *(int *)value), free(value); }

/* Thread-local variables, errno and keys belong to their thread through moves; destructors run where it ends. */
static void *worker(void *arg)
{
	int me = (long)arg, *value = malloc(sizeof *value);

	*value = me;
	pthread_setspecific(key, value);
	CHECK(initialised == 77);
	initialised = me;
	for (int i = 0; i < 9; i++) {
		place(me + i);
		CHECK(initialised == me + i && zeroed[PAGE] == (char)i && pthread_getspecific(key) == value);
		initialised++, zeroed[PAGE]++;
		errno = 1000 + me;
		sched_yield();
		CHECK(errno == 1000 + me);
	}
	return NULL;
}

int main(void)
{
	CHECK(pthread_key_create(&key, destroy) == 0);
	run_threads(8, worker);
	CHECK(atomic_load(&destroyed) == 28 && initialised == 77 && zeroed[PAGE] == 0);
	success();
	return 0;
}
