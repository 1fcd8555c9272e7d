// calls: read pread64 recvfrom stat fstat newfstatat readlink getcwd getrandom pipe pipe2 socketpair uname
// calls: poll select pselect6 ppoll epoll_wait getdents64 sched_getaffinity timerfd_gettime clock_getres
#include "guest.h"
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

/* What calls write comes to its place before they return, nothing beside it, whoever has the pages, is told to stop, or moves. */

enum { LINE = 200, LINES = 1500 };

static char *area; /* eight pages, then one that may not be written */
static int fd, lines[2];
static _Atomic int done, handled;
static _Atomic long noise;

static char byte_at(long i) { return i * 131 % 251; }

static void *touch(void *page)
{
	place(0);
	*(volatile char *)page += 1; /* now it is at home alone */
	return NULL;
}

static void clear(void)
{
	pthread_t t;

	memset(area, '#', 8 * PAGE);
	CHECK(pthread_create(&t, NULL, touch, area + PAGE) == 0 && pthread_join(t, NULL) == 0);
	area[PAGE] = '#';
}

/* Whether [at, at+n) is the file from where on, and all else as it was. */
static void holds(long at, long n, long where)
{
	for (long i = 0; i < 8 * PAGE; i++)
		CHECK(area[i] == (i >= at && i < at + n ? byte_at(where + i - at) : '#'));
}

static void reads(void)
{
	long sizes[] = {1, 512, 4096, 5000, 7 * PAGE}, at[] = {0, 1, 4095};

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (unsigned k = 0; k < sizeof at / sizeof *at; k++) {
			clear();
			CHECK(pread(fd, area + at[k], sizes[i], 100 + i) == sizes[i]);
			holds(at[k], sizes[i], 100 + i);
		}
	clear();
	CHECK(lseek(fd, -50, SEEK_END) > 0 && read(fd, area + 10, 5000) == 50); /* less than it may */
	holds(10, 50, (1 << 20) - 50);
	CHECK(read(fd, area, 5000) == 0 && read(-1, area, 5000) == -1 && errno == EBADF);
	holds(10, 50, (1 << 20) - 50);
}

static void said(const char *what, long ret)
{
	printf("%s: %ld %s\n", what, ret, ret < 0 ? strerror(errno) : "");
}

static void wrong(void)
{
	char *end = area + 8 * PAGE;
	struct stat st;

	said("read to read-only memory", pread(fd, end, 10, 0));
	said("read to half read-only memory", pread(fd, end - 10, 20, 0));
	said("read to nothing", syscall(SYS_pread64, fd, 0L, 10L, 0L));
	said("read too much", syscall(SYS_pread64, fd, area, -1L, 0L));
	said("stat to read-only memory", syscall(SYS_newfstatat, AT_FDCWD, ".", end, 0));
	said("stat of nothing", stat("none", &st));
	said("uname to read-only memory", syscall(SYS_uname, end - 10));
	CHECK(mprotect(end, PAGE, PROT_READ | PROT_WRITE) == 0 && pread(fd, end - 10, 20, 0) == 20 && end[9] == byte_at(19));
	CHECK(mprotect(end, PAGE, PROT_READ) == 0);
	said("read to memory read-only again", pread(fd, end, 10, 0));
}

static void structures(void)
{
	struct {
		char before[64], s[600], after[64];
	} *g = (void *)area, *h = (void *)(area + 2 * PAGE - 300); /* in one page, and in two */
	struct stat st;
	struct utsname u;
	struct itimerspec its = {.it_value = {100, 0}};
	int sv[2], p[2], tfd;

	CHECK((tfd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 && timerfd_settime(tfd, 0, &its, NULL) == 0);
	CHECK(fstat(fd, &st) == 0 && uname(&u) == 0);
	for (int i = 0; i < 2; i++, g = h) {
		clear();
		CHECK(syscall(SYS_stat, "file", g->s) == 0 && ((struct stat *)g->s)->st_ino == st.st_ino && g->s[sizeof st] == '#');
		CHECK(syscall(SYS_fstat, fd, g->s) == 0 && ((struct stat *)g->s)->st_size == 1 << 20 && g->s[sizeof st] == '#');
		CHECK(fstatat(AT_FDCWD, "file", (void *)g->s, 0) == 0 && ((struct stat *)g->s)->st_ino == st.st_ino);
		CHECK(syscall(SYS_uname, g->s) == 0 && memcmp(g->s, &u, sizeof u) == 0 && g->s[sizeof u] == '#');
		CHECK(syscall(SYS_timerfd_gettime, tfd, g->s) == 0 && ((struct itimerspec *)g->s)->it_value.tv_sec == 99);
		CHECK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, g->s) == 0 && ((struct timespec *)g->s)->tv_sec == 0);
		CHECK(symlink("target", "link") == 0 && syscall(SYS_readlink, "link", g->s, 600) == 6 && memcmp(g->s, "target", 6) == 0);
		CHECK(unlink("link") == 0 && syscall(SYS_getcwd, g->s, 600) > 1 && *g->s == '/');
		CHECK(syscall(SYS_sched_getaffinity, 0, 600, g->s) >= 8);
		memset(g->s, '#', sizeof g->s);
		CHECK(syscall(SYS_getrandom, g->s, 100, 0) == 100 && g->s[100] == '#');
		for (int k = 0; k < 64; k++)
			CHECK(g->before[k] == '#' && g->after[k] == '#');
	}
	CHECK(syscall(SYS_pipe, p) == 0 && write(p[1], "x", 1) == 1 && close(p[0]) == 0 && close(p[1]) == 0);
	CHECK(pipe2(p, O_CLOEXEC) == 0 && close(p[0]) == 0 && close(p[1]) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0 && send(sv[0], "hello", 5, 0) == 5);
	struct epoll_event ev[3] = {{.events = EPOLLIN, .data.u64 = 7}, {.data.u64 = 1}, {.data.u64 = 2}};
	int ep = epoll_create1(0);

	CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, sv[1], ev) == 0);
	ev[0].data.u64 = 0;
	CHECK(epoll_wait(ep, ev, 3, -1) == 1 && ev[0].data.u64 == 7 && ev[1].data.u64 == 1);
	clear();
	CHECK(recv(sv[1], area, 3, MSG_PEEK | MSG_TRUNC) == 5 && memcmp(area, "hel#", 4) == 0);
	CHECK(recv(sv[1], area, 100, 0) == 5 && memcmp(area, "hello#", 6) == 0);
	close(sv[0]), close(sv[1]), close(ep), close(tfd);

	int dir = open(".", O_RDONLY | O_DIRECTORY), found = 0;

	for (long n; (n = syscall(SYS_getdents64, dir, area, 4096)) != 0;)
		for (struct dirent *d = (void *)area; CHECK(n > 0), (char *)d < area + n; d = (void *)((char *)d + d->d_reclen))
			found += strcmp(d->d_name, "file") == 0;
	CHECK(found == 1 && close(dir) == 0);
}

static struct pollfd polled[3];
static _Atomic pid_t waiter;

static void handler(int sig) { (void)sig, atomic_fetch_add(&handled, 1); }

/* Writes to an array that is being polled, what poll does not write. */
static void *changer(void *arg)
{
	place(0);
	sleep_ms(15);
	*(volatile short *)&polled[2].events = POLLPRI;
	CHECK(write((int)(long)arg, "x", 1) == 1);
	return NULL;
}

static void *disturber(void *arg)
{
	int before = handled;

	while (handled == before) {
		sleep_ms(10);
		CHECK(syscall(SYS_tgkill, getpid(), waiter, (int)(long)arg) == 0);
	}
	return NULL;
}

/* Something that waits for long, disturbed by a signal. */
static void disturbed(int restart, int (*wait)(void))
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = restart ? SA_RESTART : 0};
	pthread_t t;

	waiter = popcorn_gettid();
	CHECK(sigaction(SIGUSR2, &sa, NULL) == 0 && pthread_create(&t, NULL, disturber, (void *)(long)SIGUSR2) == 0);
	CHECK(wait() == -1 && errno == EINTR && pthread_join(t, NULL) == 0);
}

static int long_poll(void) { return syscall(SYS_poll, polled, 1, 20000); }

static int long_ppoll(void)
{
	struct timespec ts = {20, 0};
	int ret = syscall(SYS_ppoll, polled, 1, &ts, NULL, 8);

	CHECK(ts.tv_sec == 19 && ts.tv_nsec > 0);
	return ret;
}

static int long_select(void)
{
	struct timeval tv = {20, 0};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(polled[0].fd, &set);
	int ret = syscall(SYS_select, polled[0].fd + 1, &set, NULL, NULL, &tv);

	CHECK(tv.tv_sec == 19 && tv.tv_usec > 0 && FD_ISSET(polled[0].fd, &set));
	return ret;
}

static void waits(void)
{
	struct timespec ts = {0, 30000000};
	struct timeval tv = {0, 20000};
	fd_set in, out;
	pthread_t t;
	int p[2], end;

	CHECK(pipe(p) == 0);
	end = p[0] > p[1] ? p[0] + 1 : p[1] + 1;
	polled[0] = (struct pollfd){p[0], POLLIN, 77};
	polled[1] = (struct pollfd){p[1], POLLOUT, 77};
	polled[2] = (struct pollfd){-1, POLLIN, 77};
	CHECK(syscall(SYS_poll, polled, 3, -1) == 1 && polled[0].revents == 0 && polled[1].revents == POLLOUT && polled[2].revents == 0);
	polled[1].fd = -1;
	CHECK(pthread_create(&t, NULL, changer, (void *)(long)p[1]) == 0);
	CHECK(syscall(SYS_poll, polled, 3, -1) == 1 && polled[0].revents == POLLIN && polled[2].events == POLLPRI);
	CHECK(pthread_join(t, NULL) == 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(p[0], &in);
	FD_SET(p[1], &out);
	FD_SET(p[0], &out);
	CHECK(syscall(SYS_select, end, &in, &out, NULL, NULL) == 2 && FD_ISSET(p[0], &in));
	CHECK(FD_ISSET(p[1], &out) && !FD_ISSET(p[0], &out) && read(p[0], &end, 1) == 1);
	CHECK(syscall(SYS_select, p[0] + 1, &in, NULL, NULL, &tv) == 0 && !FD_ISSET(p[0], &in) && tv.tv_sec + tv.tv_usec == 0);
	FD_SET(p[1], &out);
	CHECK(syscall(SYS_pselect6, p[1] + 1, NULL, &out, NULL, &ts, NULL) == 1 && ts.tv_nsec > 0 && ts.tv_nsec <= 30000000);
	CHECK(syscall(SYS_ppoll, polled, 1, &ts, NULL, 8) == 0 && ts.tv_nsec == 0);
	FD_SET(p[0], &in);
	CHECK((end = dup(p[0])) >= 0 && close(end) == 0);
	FD_SET(end, &in);
	CHECK(syscall(SYS_select, end + 1, &in, NULL, NULL, &tv) == -1 && errno == EBADF && FD_ISSET(p[0], &in));
	for (int restart = 0; restart < 2; restart++) {
		disturbed(restart, long_poll);
		disturbed(restart, long_ppoll);
		disturbed(restart, long_select);
	}
	close(p[0]), close(p[1]);
}

/* Somebody else always wants the page. */
static void *contender(void *arg)
{
	char *mine = area + PAGE - 1 - (long)arg;

	place(2 * (long)arg);
	for (long n = 0; !atomic_load(&done); n++) {
		CHECK(*(volatile char *)mine == (char)n);
		*(volatile char *)mine += 1;
		atomic_fetch_add(&noise, 1);
		if (n % 8 == 7)
			sleep_ms(1);
	}
	return NULL;
}

static void *reader(void *arg)
{
	struct itimerspec its = {{0, 5000000}, {0, 5000000}};
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
	char *line = area + 100;
	timer_t timer;

	(void)arg;
	place(1);
#ifdef sigev_notify_thread_id
	ev.sigev_notify_thread_id = popcorn_gettid();
#else
	ev._sigev_un._tid = popcorn_gettid();
#endif
	CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0 && timer_settime(timer, 0, &its, NULL) == 0);
	for (long i = 0; i < LINES; i++) {
		memset(line, '#', LINE);
		CHECK(read(lines[0], line, LINE) == LINE);
		for (int k = 0; k < LINE; k++)
			CHECK(line[k] == byte_at(i * LINE + k));
		if (i % 100 == 99)
			hop();
	}
	CHECK(timer_delete(timer) == 0);
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	pthread_t r, c[2];
	char line[LINE];

	area = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED && mprotect(area + 8 * PAGE, PAGE, PROT_READ) == 0);
	CHECK((fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
	char *all = malloc(1 << 20);

	for (long i = 0; i < 1 << 20; i++)
		all[i] = byte_at(i);
	CHECK(write(fd, all, 1 << 20) == 1 << 20);
	place(1);
	reads();
	wrong();
	structures();
	waits();
	place(0);
	memset(area, 0, PAGE);
	CHECK(pipe(lines) == 0 && sigaction(SIGRTMIN, &sa, NULL) == 0);
	CHECK(pthread_create(&r, NULL, reader, NULL) == 0);
	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&c[i], NULL, contender, (void *)i) == 0);
	for (long i = 0; i < LINES; i++) {
		for (int k = 0; k < LINE; k++)
			line[k] = byte_at(i * LINE + k);
		CHECK(write(lines[1], line, LINE) == LINE);
		if (i % 4 == 3)
			sleep_ms(1);
	}
	CHECK(pthread_join(r, NULL) == 0);
	atomic_store(&done, 1);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(c[i], NULL) == 0);
	CHECK(handled > 0 && noise > 0);
	success();
	return 0;
}
