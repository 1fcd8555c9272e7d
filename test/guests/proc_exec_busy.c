// args: 0
// calls: clone3 getpid kill pause read rt_sigaction rt_sigprocmask
#include "guest.h"
#include <sys/prctl.h>

static _Atomic int up;
static int p[2];

/* Threads everywhere: computing, in a futex, in a read, when one of them executes another program. */
static void *bystander(void *arg)
{
	static uint32_t word;
	unsigned long x = 1;
	char c;

	place((long)arg);
	atomic_fetch_add(&up, 1);
	for (;;)
		switch ((long)arg % 3) {
		case 0: x = x * 3 + 1; if (!x) return NULL; break;
		case 1: sys_futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0); break;
		case 2: CHECK(read(p[0], &c, 1) == 1); break;
		}
}

static void *executes(void *arg)
{
	char round[16], path[32];

	place(2);
	while (atomic_load(&up) < 6)
		sched_yield();
	snprintf(round, sizeof round, "%ld", (long)arg);
	snprintf(path, sizeof path, "%d", getpid());
	CHECK(setenv("FORMER", path, 1) == 0);
	execl("/proc/self/exe", "again", round, (char *)NULL);
	CHECK(!"execl returned");
	return NULL;
}

static int threads(void)
{
	char line[128];
	int n = -1;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "Threads: %d", &n);
	fclose(f);
	return n;
}

static void handler(int sig) { (void)sig; }

/* execve of a program of many threads, three times in a row: pid, mask and ignored signals stay, handlers do not. */
int main(int argc, char **argv)
{
	int round = argc > 1 ? atoi(argv[1]) : 0;
	sigset_t set;
	pthread_t t;

	if (round > 0) {
		struct sigaction sa;

		CHECK(atoi(getenv("FORMER")) == getpid() && popcorn_gettid() == getpid());
		if (nodes() == 0)
			CHECK(threads() == 1);
		CHECK(pthread_sigmask(SIG_BLOCK, NULL, &set) == 0 && sigismember(&set, SIGUSR2) && !sigismember(&set, SIGUSR1));
		CHECK(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
		CHECK(sigaction(SIGHUP, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
		CHECK(sigpending(&set) == 0 && sigismember(&set, SIGUSR2));
	}
	if (round == 3) {
		success();
		return 0;
	}
	sigemptyset(&set), sigaddset(&set, SIGUSR2), pthread_sigmask(SIG_BLOCK, &set, NULL);
	CHECK(kill(getpid(), SIGUSR2) == 0 && signal(SIGUSR1, handler) != SIG_ERR && signal(SIGHUP, SIG_IGN) != SIG_ERR);
	CHECK(pipe(p) == 0);
	for (long i = 0; i < 6; i++)
		CHECK(pthread_create(&t, NULL, bystander, (void *)i) == 0);
	CHECK(pthread_create(&t, NULL, executes, (void *)(long)(round + 1)) == 0);
	for (;;)
		pause();
}
