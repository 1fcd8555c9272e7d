// calls: clock_nanosleep clone3 close poll ppoll pselect6 read write
#include "guest.h"
#include <sys/select.h>

static int p[2];

static void *later(void *arg)
{
	sleep_ms(20);
	CHECK(write(p[1], "x", 1) == 1);
	return arg;
}

/* poll, ppoll, select: ready now, ready later, timeout, hang-up. */
int main(void)
{
	char c;
	pthread_t t;

	CHECK(pipe(p) == 0);
	struct pollfd fds[2] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}};

	CHECK(poll(fds, 2, 1000) == 1 && fds[0].revents == 0 && fds[1].revents == POLLOUT);
	hop();
	double start = now();

	CHECK(poll(fds, 1, 30) == 0 && now() - start >= 0.029);
	pthread_create(&t, NULL, later, NULL);
	CHECK(poll(fds, 1, -1) == 1 && fds[0].revents == POLLIN && read(p[0], &c, 1) == 1 && c == 'x');
	pthread_join(t, NULL);
	hop();
	fd_set set;
	struct timeval tv = {0, 30000};

	FD_ZERO(&set);
	FD_SET(p[0], &set);
	start = now();
	CHECK(select(p[0] + 1, &set, NULL, NULL, &tv) == 0 && !FD_ISSET(p[0], &set) && now() - start >= 0.029);
	pthread_create(&t, NULL, later, NULL);
	FD_SET(p[0], &set);
	tv.tv_sec = 10;
	CHECK(select(p[0] + 1, &set, NULL, NULL, &tv) == 1 && FD_ISSET(p[0], &set) && read(p[0], &c, 1) == 1);
	pthread_join(t, NULL);
	hop();
	struct timespec ts = {0, 10000000};

	CHECK(ppoll(fds, 1, &ts, NULL) == 0);
	close(p[1]);
	CHECK(poll(fds, 1, 1000) == 1 && (fds[0].revents & POLLHUP));
	success();
	return 0;
}
