// only: moves
// args: 0.2
#include "moves.h"

static sem_t there, back;
static _Atomic int stop;

static void *partner(void *arg)
{
	for (;;) {
		CHECK(sem_wait(&there) == 0);
		if (atomic_load(&stop))
			return arg;
		sleep_ms(15);
		CHECK(sem_post(&back) == 0);
	}
}

/* Sits in futex waits: woken, each time once, and timed out, each time after its time. */
int main(int argc, char **argv)
{
	pthread_t t;
	uint32_t word = 0;

	moves_begin(argc, argv);
	CHECK(sem_init(&there, 0, 0) == 0 && sem_init(&back, 0, 0) == 0);
	CHECK(pthread_create(&t, NULL, partner, NULL) == 0);
	while (moves_go_on()) {
		struct timespec ts = {0, 40000000};
		int value;

		CHECK(sem_post(&there) == 0 && sem_wait(&back) == 0);
		CHECK(sem_getvalue(&back, &value) == 0 && value == 0);
		double start = now();

		CHECK(sys_futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0) == -1 && errno == ETIMEDOUT);
		lasted(start, 40);
	}
	atomic_store(&stop, 1);
	sem_post(&there);
	pthread_join(t, NULL);
	return moves_end();
}
