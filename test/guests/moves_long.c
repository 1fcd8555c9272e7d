// only: moves
#include "guest.h"
#include <sys/epoll.h>

/* One wait with a limit, longer than what keeps interrupting it is apart. */
int main(void)
{
	struct epoll_event ev;
	int ep = epoll_create1(0);
	double start = now();

	CHECK(ep >= 0 && epoll_wait(ep, &ev, 1, 3000) == 0);
	CHECK(now() - start >= 2.999);
	success();
	return 0;
}
