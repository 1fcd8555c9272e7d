// args: 60
// soak: 3000
// calls: clone3
#include "guest.h"

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t sem;
static int rounds, once_ran;
static long pair[2], spun;
static _Atomic int inside;

static void run_once(void) { once_ran++; }

/* The other means of the C library: reader-writer locks, spin locks, semaphores, once. */
static void *worker(void *arg)
{
	long me = (long)arg;

	place(me);
	pthread_once(&once, run_once);
	for (int i = 0; i < rounds; i++) {
		if (me == 0) {
			pthread_rwlock_wrlock(&rw);
			pair[0]++, pair[1]--;
			pthread_rwlock_unlock(&rw);
		} else {
			pthread_rwlock_rdlock(&rw);
			CHECK(pair[0] + pair[1] == 0);
			pthread_rwlock_unlock(&rw);
		}
		while (pthread_spin_trylock(&spin) != 0)
			sched_yield();
		spun++;
		pthread_spin_unlock(&spin);
		sem_wait(&sem);
		CHECK(atomic_fetch_add(&inside, 1) < 2);
		atomic_fetch_sub(&inside, 1);
		sem_post(&sem);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 500;
	CHECK(sem_init(&sem, 0, 2) == 0 && pthread_spin_init(&spin, 0) == 0);
	run_threads(4, worker);
	CHECK(pair[0] == rounds && spun == 4L * rounds && once_ran == 1);
	success();
	return 0;
}
