// calls: write writev sendmsg sendto openat pwrite64 rename fcntl semop
#include "guest.h"
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Calls bring along what they read: that must be what the program has there, be it whole, in parts elsewhere, or wrong. */

static char *area; /* eight pages, then one that may not be read */
static int fd;

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = seed = seed * 1103515245 + 12345;
}

static void same(const char *want, size_t n, off_t at)
{
	static char got[3 << 20];

	CHECK(pread(fd, got, n, at) == (ssize_t)n && memcmp(got, want, n) == 0);
}

static void *touch(void *page)
{
	place(0);
	*(volatile char *)page += 1; /* now it is at home alone */
	return NULL;
}

static void away(char *page)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, touch, page) == 0 && pthread_join(t, NULL) == 0);
}

static void buffers(void)
{
	static char big[3 << 20];
	struct iovec v[100];
	size_t sizes[] = {1, 511, 512, 4096, 5000, 6 * PAGE, 8 * PAGE};

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int skew = 0; skew <= 513 && skew + sizes[i] <= 8 * PAGE; skew += 171) {
			fill(area, 8 * PAGE, i + skew);
			CHECK(pwrite(fd, area + skew, sizes[i], 7) == (ssize_t)sizes[i]);
			same(area + skew, sizes[i], 7);
			if (sizes[i] < 5000)
				continue;
			away(area + PAGE);
			CHECK(pwrite(fd, area + skew, sizes[i], 7) == (ssize_t)sizes[i]);
			same(area + skew, sizes[i], 7);
		}
	for (unsigned seed = 0; seed < 3; seed++) { /* more than a call brings along */
		fill(big, sizeof big, seed);
		CHECK(pwrite(fd, big, sizeof big, 0) == sizeof big);
		same(big, sizeof big, 0);
	}
	for (int n = 1; n <= 100; n += 33) {
		fill(big, 100 * 300, n);
		for (int i = 0; i < n; i++)
			v[i] = (struct iovec){big + 300 * (n - 1 - i), i % 7 ? 300 : 0};
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		ssize_t all = writev(fd, v, n), at = 0;

		for (int i = 0; i < n; at += v[i++].iov_len)
			same(v[i].iov_base, v[i].iov_len, at);
		CHECK(all == at);
	}
}

static void said(const char *what, long ret)
{
	printf("%s: %ld %s\n", what, ret, ret < 0 ? strerror(errno) : "");
}

static void wrong(void)
{
	char *end = area + 8 * PAGE, name[PATH_MAX + 2];
	struct iovec v[] = {{area, 10}, {end, 10}};

	fill(area, 8 * PAGE, 9);
	said("write unreadable", pwrite(fd, end, 10, 0));
	said("write half unreadable", pwrite(fd, end - 10, 20, 0));
	said("write far too much", syscall(SYS_pwrite64, fd, area, -1L, 0));
	said("write to nothing", pwrite(-1, area, 10, 0));
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	said("write vector half unreadable", writev(fd, v, 2));
	said("write unreadable vector", writev(fd, (void *)end, 1));
	said("write vector of negative length", syscall(SYS_writev, fd, v, -1L));
	said("open unmapped", syscall(SYS_openat, AT_FDCWD, 1L, O_RDONLY));
	said("open unreadable", open(end, O_RDONLY));
	said("open nothing", syscall(SYS_openat, AT_FDCWD, 0L, O_RDONLY));
	said("open empty", open("", O_RDONLY));
	memset(name, 'x', sizeof name), name[sizeof name - 1] = 0;
	said("open too long", open(name, O_RDONLY));
	memcpy(end - 5, "copy", 5); /* ends with the memory */
	CHECK(rename("file", end - 5) == 0 && access("copy", R_OK) == 0 && rename(end - 5, "file") == 0);
	memset(end - 5, 'y', 5); /* does not end */
	said("open endless", open(end - 5, O_RDONLY));
}

static void messages(void)
{
	int s[2], got = -1;
	char control[CMSG_SPACE(sizeof(int))], text[100], in[200];
	struct iovec v[] = {{text, 50}, {text + 50, 50}}, w = {in, sizeof in};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
	struct msghdr r = {.msg_iov = &w, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	for (int i = 0; i < 20; i++) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		fill(text, sizeof text, i), memset(in, 0, sizeof in);
		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
		CHECK(sendmsg(s[0], &m, 0) == 100);
		memset(control, 0, sizeof control), r.msg_controllen = sizeof control;
		CHECK(recvmsg(s[1], &r, 0) == 100 && memcmp(in, text, 100) == 0);
		memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&r)), sizeof got);
		CHECK(got > 2 && fcntl(got, F_GETFL) == fcntl(fd, F_GETFL) && close(got) == 0);
	}
	close(s[0]), close(s[1]);
	CHECK((s[0] = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0 && (s[1] = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
	CHECK(bind(s[0], (void *)&name, sizeof name) == 0);
	CHECK(sendto(s[1], text, 33, 0, (void *)&name, sizeof name) == 33 && recv(s[0], in, sizeof in, 0) == 33);
	name.sun_path[0] = 0;
	CHECK(sendto(s[1], text, 33, 0, (void *)&name, sizeof name) == -1 && errno == ECONNREFUSED);
	m = (struct msghdr){.msg_iov = v, .msg_iovlen = 2, .msg_name = &name, .msg_namelen = 1 << 30};
	CHECK(sendmsg(s[1], &m, 0) == -1 && errno == EINVAL && unlink("socket") == 0);
	close(s[0]), close(s[1]);
}

static void *writer(void *arg)
{
	char text[200000];

	place(1);
	fill(text, sizeof text, 5);
	CHECK(write((long)arg, text, sizeof text) == sizeof text); /* waits for room, with its text */
	return NULL;
}

int main(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	struct sembuf op[] = {{0, 1, 0}, {0, -1, 0}};
	char want[200000], got[200000];
	size_t n = 0;
	pthread_t t;
	int p[2], sem;

	area = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED && mprotect(area + 8 * PAGE, PAGE, PROT_NONE) == 0);
	CHECK((fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
	place(1);
	buffers();
	wrong();
	messages();
	CHECK(fcntl(fd, F_SETLK, &lock) == 0 && (sem = semget(IPC_PRIVATE, 1, 0600)) >= 0);
	for (int i = 0; i < 10; i++) {
		lock.l_start = i;
		CHECK(fcntl(fd, F_SETLK, &lock) == 0 && syscall(SYS_semop, sem, op, 2) == 0);
	}
	CHECK(semctl(sem, 0, IPC_RMID) == 0);
	CHECK(pipe(p) == 0 && pthread_create(&t, NULL, writer, (void *)(long)p[1]) == 0);
	fill(want, sizeof want, 5);
	for (ssize_t k; n < sizeof want; n += k)
		CHECK((k = read(p[0], got + n, 1000)) > 0);
	CHECK(pthread_join(t, NULL) == 0 && memcmp(got, want, sizeof want) == 0);
	success();
	return 0;
}
