// only: moves
// args: 0.2
#include "moves.h"
#include <sys/select.h>

static int p[2];
static sem_t ask;
static _Atomic int stop;

static void *writer(void *arg)
{
	for (;;) {
		CHECK(sem_wait(&ask) == 0);
		if (atomic_load(&stop))
			return arg;
		sleep_ms(20);
		CHECK(write(p[1], "x", 1) == 1);
	}
}

/* Sits in poll and select: for their whole timeout, and until something comes. */
int main(int argc, char **argv)
{
	char c;
	pthread_t t;

	moves_begin(argc, argv);
	CHECK(pipe(p) == 0 && sem_init(&ask, 0, 0) == 0 && pthread_create(&t, NULL, writer, NULL) == 0);
	while (moves_go_on()) {
		struct pollfd pfd = {p[0], POLLIN, 0};
		struct timeval tv = {0, 50000};
		fd_set set;
		double start = now();

		CHECK(poll(&pfd, 1, 50) == 0);
		lasted(start, 50);
		sem_post(&ask);
		CHECK(poll(&pfd, 1, -1) == 1 && pfd.revents == POLLIN && read(p[0], &c, 1) == 1);
		FD_ZERO(&set);
		FD_SET(p[0], &set);
		start = now();
		CHECK(select(p[0] + 1, &set, NULL, NULL, &tv) == 0);
		lasted(start, 50);
	}
	atomic_store(&stop, 1);
	sem_post(&ask);
	pthread_join(t, NULL);
	return moves_end();
}
