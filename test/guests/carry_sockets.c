// only: checkpoint
/* Socket pairs: what waits in them, options, ends that are closed, watched, or waited at. */
#include "carry.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum { MUCH = 100000 };

static int wake[2];

static void *waits(void *arg)
{
	char buf[8];

	CHECK(read(wake[0], buf, sizeof buf) == 2 && memcmp(buf, "go", 2) == 0);
	return arg;
}

int main(void)
{
	int s[2], half[2], d[2], q[2], dup;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 77}, got;
	struct timeval tv = {.tv_sec = 1, .tv_usec = 500000}, t;
	socklen_t len = sizeof t;
	char *much = malloc(MUCH), *buf = malloc(MUCH + 1);
	pthread_t w;
	int ep = epoll_create1(0), on = 1;

	for (int i = 0; i < MUCH; i++)
		much[i] = i % 251;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && write(s[0], much, MUCH) == MUCH && write(s[1], "hello", 5) == 5);
	CHECK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0 && fcntl(s[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, half) == 0 && write(half[0], "last", 4) == 4 && close(half[0]) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, d) == 0 && setsockopt(d[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, q) == 0 && (dup = fcntl(q[1], F_DUPFD, 40)) >= 40);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &e) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, wake) == 0);
	CHECK(pthread_create(&w, NULL, waits, NULL) == 0);
	saved();
	CHECK(read(s[0], buf, MUCH) == 5 && memcmp(buf, "hello", 5) == 0 && read(s[0], buf, 1) == -1 && errno == EAGAIN);
	for (int at = 0, n; at < MUCH; at += n)
		CHECK((n = read(s[1], buf, MUCH + 1)) > 0 && memcmp(buf, much + at, n) == 0);
	CHECK(getsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &t, &len) == 0 && t.tv_sec == 1 && t.tv_usec == 500000);
	CHECK(write(s[1], "x", 1) == 1 && read(s[0], buf, 9) == 1 && (fcntl(half[1], F_GETFD) & FD_CLOEXEC));
	CHECK(read(half[1], buf, 9) == 4 && memcmp(buf, "last", 4) == 0 && read(half[1], buf, 9) == 0);
	CHECK(send(half[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	len = sizeof on, on = 0;
	CHECK(getsockopt(d[0], SOL_SOCKET, SO_PASSCRED, &on, &len) == 0 && on == 1);
	CHECK(send(d[0], "one", 3, 0) == 3 && send(d[0], "two", 3, 0) == 3 && recv(d[1], buf, 9, 0) == 3);
	CHECK(epoll_wait(ep, &got, 1, 0) == 0 && send(dup, "abc", 3, 0) == 3 && send(q[1], "d", 1, 0) == 1);
	CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u64 == 77 && recv(q[0], buf, 9, 0) == 3 && recv(q[0], buf, 9, 0) == 1);
	CHECK(write(wake[1], "go", 2) == 2 && pthread_join(w, NULL) == 0);
	success();
}
