// args: 100
// calls: clone3
#include "guest.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn, rounds;

/* A condition variable passes the turn round three threads on their nodes. */
static void *worker(void *arg)
{
	int me = (long)arg;

	place(me);
	for (int i = 0; i < rounds; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 3 != me)
			pthread_cond_wait(&changed, &mutex);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	run_threads(3, worker);
	CHECK(turn == 3 * rounds);
	success();
	return 0;
}
