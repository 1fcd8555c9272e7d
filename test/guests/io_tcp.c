// args: 524288
// soak: 67108864
// calls: accept4 bind clone3 close connect getsockname listen read recvfrom sendto setsockopt shutdown
// calls: socket socketpair write
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static struct sockaddr_in addr;
static long total;

static void *client(void *arg)
{
	char buf[8192];
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	place(1);
	CHECK(connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0);
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
	for (long sent = 0; sent < total;) {
		for (int i = 0; i < (int)sizeof buf; i++)
			buf[i] = (sent + i) * 13 >> 3;
		ssize_t n = send(fd, buf, total - sent < (long)sizeof buf ? total - sent : (long)sizeof buf, 0);

		CHECK(n > 0);
		sent += n;
	}
	CHECK(shutdown(fd, SHUT_WR) == 0 && read(fd, buf, sizeof buf) == 4 && memcmp(buf, "done", 4) == 0);
	close(fd);
	return arg;
}

/* A TCP stream through loopback between threads, checked byte by byte; a receive timeout; a refused connection. */
int main(int argc, char **argv)
{
	static char buf[65536];
	pthread_t t;
	socklen_t len = sizeof addr;
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;

	total = argc > 1 ? atol(argv[1]) : 1 << 20;
	addr.sin_family = AF_INET, addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(listener, (struct sockaddr *)&addr, sizeof addr) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0 && listen(listener, 1) == 0);
	pthread_create(&t, NULL, client, NULL);
	CHECK((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	long at = 0;

	for (ssize_t n; (n = recv(fd, buf, sizeof buf, 0)) != 0; at += n) {
		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			CHECK(buf[i] == (char)((at + i) * 13 >> 3));
		hop();
	}
	CHECK(at == total && write(fd, "done", 4) == 4);
	pthread_join(t, NULL);
	close(fd), close(listener);
	CHECK(connect(fd = socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&addr, sizeof addr) == -1 &&
	      errno == ECONNREFUSED);
	int p[2];
	struct timeval tv = {0, 30000};
	double start = now();

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
	CHECK(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
	CHECK(recv(p[0], buf, 1, 0) == -1 && errno == EAGAIN && now() - start >= 0.029);
	success();
	return 0;
}
