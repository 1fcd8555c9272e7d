// only: moves
// args: 0.2
#include "moves.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* Has the kernel write events where the memory was just written, as fast as it can: it holds the epoll instance meanwhile. */
int main(int argc, char **argv)
{
	int e = eventfd(1, 0), ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 7};

	moves_begin(argc, argv);
	CHECK(e >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, e, &ev) == 0);
	while (moves_go_on()) {
		ev.data.u64 = 0;
		CHECK(epoll_wait(ep, &ev, 1, -1) == 1 && ev.events == EPOLLIN && ev.data.u64 == 7);
	}
	return moves_end();
}
