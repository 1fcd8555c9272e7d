// calls: accept bind clone3 close connect listen read recvfrom recvmsg sendmsg sendto socket socketpair
// calls: write
#include "guest.h"
#include <sys/socket.h>
#include <sys/un.h>

static int pair[2];

static void *peer(void *arg)
{
	char buf[32];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un to = {AF_UNIX, "sock"};

	CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	CHECK(send(fd, "ping", 4, 0) == 4 && recv(fd, buf, 4, MSG_WAITALL) == 4 && memcmp(buf, "pong", 4) == 0);
	close(fd);
	CHECK(recv(pair[1], buf, sizeof buf, 0) == 3);
	return arg;
}

/* unix sockets: listen, connect, accept, socketpair of datagrams, a descriptor passed in a message. */
int main(void)
{
	char buf[32], space[CMSG_SPACE(sizeof(int))] = {0};
	pthread_t t;
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd, p[2], got;
	struct sockaddr_un here = {AF_UNIX, "sock"};

	CHECK(bind(listener, (struct sockaddr *)&here, sizeof here) == 0 && listen(listener, 4) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	pthread_create(&t, NULL, peer, NULL);
	CHECK((fd = accept(listener, NULL, NULL)) >= 0);
	hop();
	CHECK(recv(fd, buf, 4, MSG_WAITALL) == 4 && memcmp(buf, "ping", 4) == 0 && send(fd, "pong", 4, 0) == 4);
	CHECK(recv(fd, buf, 4, 0) == 0);
	CHECK(send(pair[0], "abc", 3, 0) == 3);
	pthread_join(t, NULL);
	hop();
	CHECK(pipe(p) == 0);
	struct iovec iov = {"f", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &p[0], sizeof(int));
	CHECK(sendmsg(pair[0], &m, 0) == 1);
	memset(space, 0, sizeof space);
	iov.iov_base = buf;
	hop();
	CHECK(recvmsg(pair[1], &m, 0) == 1 && (c = CMSG_FIRSTHDR(&m)) && c->cmsg_type == SCM_RIGHTS);
	memcpy(&got, CMSG_DATA(c), sizeof got);
	CHECK(write(p[1], "via", 3) == 3 && read(got, buf, 3) == 3 && memcmp(buf, "via", 3) == 0);
	success();
	return 0;
}
