// only: checkpoint
/* Descriptors without a file: pipes with their content, eventfd, signalfd, epoll, memfd. */
#include "carry.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

int main(void)
{
	int p[2], half[2], ev, sema, sig, ep, mem, ro;
	char buf[64] = {0}, path[64], *map;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef}, got;
	struct signalfd_siginfo info;
	sigset_t set;
	uint64_t v;

	CHECK(pipe2(p, O_NONBLOCK) == 0 && fcntl(p[1], F_SETPIPE_SZ, 1 << 17) >= 1 << 17);
	CHECK(write(p[1], "in the pipe", 11) == 11 && write(p[1], "!", 1) == 1);
	CHECK(pipe(half) == 0 && write(half[1], "last", 4) == 4 && close(half[1]) == 0);
	ev = eventfd(5, EFD_NONBLOCK);
	sema = eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	sig = signalfd(-1, &set, SFD_NONBLOCK);
	CHECK(kill(getpid(), SIGUSR2) == 0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
	mem = memfd_create("mine", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(ftruncate(mem, 3 * PAGE) == 0 && pwrite(mem, "memfd", 5, PAGE) == 5 && lseek(mem, 100, SEEK_SET) == 100);
	map = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	CHECK(map != MAP_FAILED && fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	strcpy(map, "mapped");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mem);
	ro = open(path, O_RDONLY);
	CHECK(ev >= 0 && sema >= 0 && sig >= 0 && ep >= 0 && ro >= 0);
	saved();
	CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u64 == e.data.u64 && got.events == EPOLLIN);
	CHECK(fcntl(p[1], F_GETPIPE_SZ) >= 1 << 17 && read(p[0], buf, 64) == 12 && memcmp(buf, "in the pipe!", 12) == 0);
	CHECK(read(p[0], buf, 1) == -1 && errno == EAGAIN && epoll_wait(ep, &got, 1, 0) == 0);
	CHECK(write(p[1], "x", 1) == 1 && epoll_wait(ep, &got, 1, 1000) == 1 && read(p[0], buf, 2) == 1);
	CHECK(read(half[0], buf, 64) == 4 && memcmp(buf, "last", 4) == 0 && read(half[0], buf, 64) == 0);
	CHECK(read(ev, &v, 8) == 8 && v == 5 && read(ev, &v, 8) == -1 && errno == EAGAIN);
	for (int i = 0; i < 3; i++)
		CHECK(read(sema, &v, 8) == 8 && v == 1);
	CHECK((fcntl(sema, F_GETFD) & FD_CLOEXEC) && read(sig, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR2);
	CHECK(lseek(mem, 0, SEEK_CUR) == 100 && pread(mem, buf, 7, 0) == 7 && strcmp(buf, "mapped") == 0);
	CHECK(pread(ro, buf, 5, PAGE) == 5 && memcmp(buf, "memfd", 5) == 0 && write(ro, "x", 1) == -1 && errno == EBADF);
	strcpy(map + 2 * PAGE, "still one");
	CHECK(pread(mem, buf, 10, 2 * PAGE) == 10 && strcmp(buf, "still one") == 0);
	CHECK(fcntl(mem, F_GET_SEALS) == F_SEAL_SHRINK && ftruncate(mem, PAGE) == -1 && errno == EPERM);
	success();
}
