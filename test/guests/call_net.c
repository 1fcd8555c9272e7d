// calls: socket socketpair bind listen accept accept4 connect getsockname getpeername setsockopt getsockopt shutdown
// calls: sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg sendfile readv writev preadv pwritev preadv2 pwritev2 pread64 pwrite64 lseek
#include "guest.h"
#include <netinet/in.h>
#include <sys/socket.h>

#define SYS(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static struct sockaddr_in addr;
static socklen_t len = sizeof addr;

static void stream(void)
{
	int on = 1, got = 0, l = SYS(socket, AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof got;
	struct sockaddr_in peer;
	char buf[8];

	addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(SYS(setsockopt, l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && SYS(bind, l, &addr, len) == 0);
	CHECK(SYS(getsockopt, l, SOL_SOCKET, SO_REUSEADDR, &got, &size) == 0 && got == 1 && SYS(listen, l, 4) == 0);
	CHECK(SYS(getsockname, l, &addr, &len) == 0 && addr.sin_port != 0);
	for (int i = 0; i < 2; i++) {
		int c = SYS(socket, AF_INET, SOCK_STREAM, 0);

		CHECK(SYS(connect, c, &addr, len) == 0 && SYS(getpeername, c, &peer, &len) == 0 && peer.sin_port == addr.sin_port);
		int s = i ? SYS(accept, l, NULL, NULL) : SYS(accept4, l, NULL, NULL, SOCK_CLOEXEC);

		CHECK(s >= 0 && SYS(sendto, c, "hello", 5, 0, NULL, 0) == 5 && SYS(shutdown, c, SHUT_WR) == 0);
		CHECK(SYS(recvfrom, s, buf, 8, MSG_WAITALL, NULL, NULL) == 5 && memcmp(buf, "hello", 5) == 0);
		CHECK(close(s) == 0 && close(c) == 0);
		hop();
	}
	close(l);
}

/* A descriptor goes through the socket, and several messages with one call. */
static void messages(void)
{
	int sv[2], fd;
	char text[2][4], control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec v = {"one", 4}, w[2] = {{text[0], 4}, {text[1], 4}};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct mmsghdr many[2] = {{{.msg_iov = &v, .msg_iovlen = 1}}, {{.msg_iov = &v, .msg_iovlen = 1}}};

	CHECK(SYS(socketpair, AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &sv[0], sizeof fd);
	CHECK(SYS(sendmsg, sv[0], &m, 0) == 4);
	m.msg_iov = w;
	CHECK(SYS(recvmsg, sv[1], &m, 0) == 4 && strcmp(text[0], "one") == 0);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	CHECK(fd > 2 && fd != sv[0] && SYS(sendmmsg, fd, many, 2, 0) == 2);
	many[0].msg_hdr.msg_iov = &w[0], many[1].msg_hdr.msg_iov = &w[1];
	memset(text, 0, sizeof text);
	CHECK(SYS(recvmmsg, sv[1], many, 2, 0, NULL) == 2 && strcmp(text[0], "one") == 0 && strcmp(text[1], "one") == 0);
}

static void vectors(void)
{
	char a[4] = "abc", b[4] = "def", x[4] = "", y[4] = "";
	struct iovec out[2] = {{a, 3}, {b, 3}}, in[2] = {{x, 3}, {y, 3}};
	int fd = open("vectors", O_CREAT | O_RDWR, 0600), to = open("copy", O_CREAT | O_RDWR, 0600);
	off_t from = 0;

	CHECK(SYS(writev, fd, out, 2) == 6 && SYS(lseek, fd, 0, SEEK_SET) == 0 && SYS(readv, fd, in, 2) == 6 && !strcmp(y, "def"));
	CHECK(SYS(pwritev, fd, out, 2, 6, 0) == 6 && SYS(pwritev2, fd, out, 2, 12, 0, 0) == 6 && SYS(lseek, fd, 0, SEEK_END) == 18);
	memset(y, 0, sizeof y);
	CHECK(SYS(preadv, fd, in, 2, 6, 0) == 6 && !strcmp(y, "def") && SYS(preadv2, fd, in, 2, 15, 0, 0) == 3 && !strcmp(x, "def"));
	CHECK(SYS(pwrite64, fd, "XY", 2, 1) == 2 && SYS(pread64, fd, x, 3, 0) == 3 && !strcmp(x, "aXY"));
	CHECK(SYS(sendfile, to, fd, &from, 18) == 18 && from == 18);
}

/* Sockets, messages with a descriptor, reads and writes of every shape. */
int main(void)
{
	stream();
	messages();
	hop();
	vectors();
	success();
	return 0;
}
