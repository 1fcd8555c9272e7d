// calls: clone3 epoll_create1 epoll_ctl epoll_wait eventfd2 read write
#include "guest.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { PIPES = 16 };
static int pipes[PIPES][2];

static void *writer(void *arg)
{
	for (int i = 0; i < PIPES; i++)
		CHECK(write(pipes[i][1], &i, sizeof i) == sizeof i);
	return arg;
}

/* epoll over many pipes written by another thread; level and edge; timeout; removal. */
int main(void)
{
	pthread_t t;
	int ep = epoll_create1(0), seen = 0;
	struct epoll_event ev[4], one = {.events = EPOLLIN};

	CHECK(ep >= 0);
	for (int i = 0; i < PIPES; i++) {
		CHECK(pipe(pipes[i]) == 0);
		one.data.u32 = i;
		CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, pipes[i][0], &one) == 0);
	}
	double start = now();

	CHECK(epoll_wait(ep, ev, 4, 20) == 0 && now() - start >= 0.019);
	hop();
	pthread_create(&t, NULL, writer, NULL);
	while (seen != (1 << PIPES) - 1) {
		int n = epoll_wait(ep, ev, 4, -1);

		CHECK(n > 0 && n <= 4);
		for (int i = 0, v; i < n; i++) {
			CHECK(read(pipes[ev[i].data.u32][0], &v, sizeof v) == sizeof v && v == (int)ev[i].data.u32);
			seen |= 1 << v;
		}
	}
	pthread_join(t, NULL);
	hop();
	int e = eventfd(3, EFD_NONBLOCK);

	one.events = EPOLLIN | EPOLLET, one.data.u32 = 99;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, e, &one) == 0);
	CHECK(epoll_wait(ep, ev, 4, 1000) == 1 && ev[0].data.u32 == 99 && epoll_wait(ep, ev, 4, 0) == 0);
	eventfd_t v;

	CHECK(eventfd_read(e, &v) == 0 && v == 3 && eventfd_read(e, &v) == -1 && errno == EAGAIN);
	CHECK(eventfd_write(e, 5) == 0 && epoll_wait(ep, ev, 4, 1000) == 1);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, e, NULL) == 0 && eventfd_write(e, 5) == 0 && epoll_wait(ep, ev, 4, 0) == 0);
	success();
	return 0;
}
