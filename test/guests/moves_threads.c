// only: moves
// args: 0.2
#include "moves.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counted, mine[4];

/* Four threads count under one mutex, sleep, and allocate, while the whole job is moved. */
static void *worker(void *arg)
{
	long t = (long)arg;

	while (moves_go_on()) {
		char *p = malloc(t * 1000 + 100);

		CHECK(p);
		memset(p, t, t * 1000 + 100);
		pthread_mutex_lock(&mutex);
		counted++;
		pthread_mutex_unlock(&mutex);
		mine[t] += p[t * 1000 + 99] == t;
		free(p);
		if (mine[t] % 64 == 0)
			sleep_ms(1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	moves_begin(argc, argv);
	run_threads(4, worker);
	CHECK(counted == mine[0] + mine[1] + mine[2] + mine[3]);
	return moves_end();
}
