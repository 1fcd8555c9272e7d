// build: -lrt
// calls: shmget shmat shmctl semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend
// calls: mq_timedreceive mq_getsetattr mq_notify pipe pipe2 eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch
// calls: inotify_rm_watch epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 signalfd signalfd4 timerfd_create
// calls: timerfd_settime timerfd_gettime tee splice vmsplice memfd_create select poll add_key keyctl request_key
#include "guest.h"
#include <linux/keyctl.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/timerfd.h>

#define SYS(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static void system_v(void)
{
	struct sembuf up = {0, 2, 0}, down = {0, -1, IPC_NOWAIT};
	struct timespec ts = {0, 1000000};
	struct { long type; char text[8]; } m = {3, "message"}, got;
	int sem = SYS(semget, IPC_PRIVATE, 1, 0600), msg = SYS(msgget, IPC_PRIVATE, 0600), shm = SYS(shmget, IPC_PRIVATE, PAGE, 0600);

	CHECK(sem >= 0 && msg >= 0 && shm >= 0 && SYS(semop, sem, &up, 1) == 0 && SYS(semop, sem, &down, 1) == 0);
	CHECK(SYS(semctl, sem, 0, GETVAL) == 1 && SYS(semop, sem, &down, 1) == 0);
	CHECK(SYS(semop, sem, &down, 1) == -1 && errno == EAGAIN);
	down.sem_flg = 0;
	CHECK(SYS(semtimedop, sem, &down, 1, &ts) == -1 && errno == EAGAIN && SYS(semctl, sem, 0, IPC_RMID) == 0);
	CHECK(SYS(msgsnd, msg, &m, sizeof m.text, 0) == 0 && SYS(msgrcv, msg, &got, sizeof got.text, 3, 0) == 8);
	CHECK(strcmp(got.text, "message") == 0 && SYS(msgctl, msg, IPC_RMID, NULL) == 0);
	char *mem = (char *)SYS(shmat, shm, NULL, 0);

	CHECK((long)mem != -1 && SYS(shmctl, shm, IPC_RMID, NULL) == 0);
	strcpy(mem, "shared");
	CHECK(strcmp(mem, "shared") == 0 && SYS(shmdt, mem) == 0);
}

static void posix_queue(void)
{
	char name[32], text[8];
	struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8}, is;
	struct timespec past = {1, 0};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};

	snprintf(name, sizeof name, "popcorn-%d", getpid());
	int q = SYS(mq_open, name, O_CREAT | O_RDWR, 0600, &attr);

	CHECK(q >= 0 && SYS(mq_unlink, name) == 0 && SYS(mq_timedsend, q, "low", 4, 1, &past) == 0);
	CHECK(SYS(mq_timedsend, q, "high", 5, 2, &past) == 0 && SYS(mq_getsetattr, q, NULL, &is) == 0 && is.mq_curmsgs == 2);
	CHECK(SYS(mq_timedsend, q, "full", 5, 2, &past) == -1 && errno == ETIMEDOUT && SYS(mq_notify, q, &none) == 0);
	CHECK(SYS(mq_timedreceive, q, text, 8, NULL, NULL) == 5 && strcmp(text, "high") == 0 && close(q) == 0);
}

static void waits(void)
{
	int p[2], e = SYS(epoll_create, 1), e1 = SYS(epoll_create1, EPOLL_CLOEXEC), v = SYS(eventfd, 3), v2 = SYS(eventfd2, 0, 0);
	struct epoll_event ev = {EPOLLIN, {.fd = v}}, out;
	struct timespec ts = {0, 0};
	struct timeval tv = {0, 0};
	struct itimerspec its = {{0, 0}, {0, 1000000}}, left;
	uint64_t n;
	uint64_t mask = 1ul << (SIGUSR1 - 1);

	CHECK(SYS(pipe, p) == 0 && e >= 0 && e1 >= 0 && v >= 0 && v2 >= 0 && SYS(epoll_ctl, e, EPOLL_CTL_ADD, v, &ev) == 0);
	CHECK(SYS(epoll_wait, e, &out, 1, 100) == 1 && SYS(epoll_pwait, e, &out, 1, 100, NULL, 8) == 1 && out.data.fd == v);
	CHECK(SYS(epoll_pwait2, e, &out, 1, &ts, NULL, 8) == 1 && SYS(epoll_wait, e1, &out, 1, 0) == 0);
	CHECK(read(v, &n, 8) == 8 && n == 3 && SYS(poll, &(struct pollfd){v2, POLLIN, 0}, 1, 0) == 0);
	CHECK(SYS(select, 0, NULL, NULL, NULL, &tv) == 0);
	int s = SYS(signalfd, -1, &mask, 8), s4 = SYS(signalfd4, -1, &mask, 8, 0);

	CHECK(s >= 0 && s4 >= 0 && close(s) == 0 && close(s4) == 0);
	int t = SYS(timerfd_create, CLOCK_MONOTONIC, 0);

	CHECK(SYS(timerfd_settime, t, 0, &its, NULL) == 0 && read(t, &n, 8) == 8 && n == 1);
	CHECK(SYS(timerfd_gettime, t, &left) == 0 && left.it_value.tv_nsec == 0);
	for (int i = 0; i < 2; i++) {
		struct inotify_event in;
		int fd = i ? SYS(inotify_init1, 0) : SYS(inotify_init), w = SYS(inotify_add_watch, fd, ".", IN_DELETE_SELF);

		CHECK(w >= 0 && SYS(inotify_rm_watch, fd, w) == 0 && read(fd, &in, sizeof in) == sizeof in && in.mask == IN_IGNORED);
		close(fd);
	}
}

static void pipes(void)
{
	int a[2], b[2], m = SYS(memfd_create, "m", 0);
	char buf[8];
	struct iovec v = {"abc", 3};

	CHECK(SYS(pipe2, a, O_CLOEXEC) == 0 && SYS(pipe2, b, 0) == 0 && SYS(vmsplice, a[1], &v, 1, 0) == 3);
	CHECK(SYS(tee, a[0], b[1], 3, 0) == 3 && SYS(splice, a[0], NULL, m, NULL, 3, 0) == 3);
	CHECK(read(b[0], buf, 8) == 3 && memcmp(buf, "abc", 3) == 0 && pread(m, buf, 8, 0) == 3 && memcmp(buf, "abc", 3) == 0);
}

static void keys(void)
{
	long key = SYS(add_key, "user", "popcorn-test", "secret", 6, KEY_SPEC_THREAD_KEYRING);
	char buf[8];

	if (key == -1) { /* kernels without keys, sandboxes that forbid them */
		CHECK(errno == ENOSYS || errno == EPERM || errno == EACCES || errno == EDQUOT);
		return;
	}
	CHECK(SYS(request_key, "user", "popcorn-test", NULL, 0) == key && SYS(keyctl, KEYCTL_READ, key, buf, 8) == 6);
	CHECK(memcmp(buf, "secret", 6) == 0 && SYS(keyctl, KEYCTL_REVOKE, key) == 0);
}

/* System V and POSIX queues, descriptors to wait for, splicing, keys. */
int main(void)
{
	posix_queue();
	waits();
	hop();
	pipes();
	keys();
	system_v(); /* brings the thread home: nobody else may have a shared segment */
	success();
	return 0;
}
