// only: moves
// args: 0.2
#include "moves.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int e;
static sem_t ask;
static _Atomic int stop;

static void *writer(void *arg)
{
	for (;;) {
		CHECK(sem_wait(&ask) == 0);
		if (atomic_load(&stop))
			return arg;
		sleep_ms(20);
		CHECK(eventfd_write(e, 1) == 0);
	}
}

/* Sits in epoll_wait, which a mere stop would break: for its whole timeout, and until something comes. */
int main(int argc, char **argv)
{
	pthread_t t;
	eventfd_t v;
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};

	moves_begin(argc, argv);
	CHECK((e = eventfd(0, 0)) >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, e, &ev) == 0);
	CHECK(sem_init(&ask, 0, 0) == 0 && pthread_create(&t, NULL, writer, NULL) == 0);
	while (moves_go_on()) {
		double start = now();

		CHECK(epoll_wait(ep, &ev, 1, 50) == 0);
		lasted(start, 50);
		sem_post(&ask);
		CHECK(epoll_wait(ep, &ev, 1, -1) == 1 && eventfd_read(e, &v) == 0 && v == 1);
	}
	atomic_store(&stop, 1);
	sem_post(&ask);
	pthread_join(t, NULL);
	return moves_end();
}
