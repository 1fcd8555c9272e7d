// calls: clone clone3 exit_group getpid read wait4 write
#include "guest.h"

static _Atomic int looking;

static void *worker(void *arg)
{
	struct timespec last, t;

	clock_gettime(CLOCK_MONOTONIC, &last);
	atomic_store(&looking, 1);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		long gap = (t.tv_sec - last.tv_sec) * 1000 + (t.tv_nsec - last.tv_nsec) / 1000000;

		last = t;
		if (gap > *(volatile long *)arg)
			*(volatile long *)arg = gap;
		sched_yield();
	}
	return NULL;
}

/* A child stops its parent's whole process and continues it: a busy thread, wherever it is, saw the gap. */
int main(void)
{
	static long gap;
	int p[2], status;
	char c;
	pthread_t t;
	pid_t parent = getpid(), child;

	CHECK(pipe(p) == 0);
	if ((child = fork()) == 0) {
		CHECK(read(p[0], &c, 1) == 1 && kill(parent, SIGSTOP) == 0);
		sleep_ms(400);
		CHECK(kill(parent, SIGCONT) == 0);
		_exit(5);
	}
	pthread_create(&t, NULL, worker, &gap);
	while (!atomic_load(&looking))
		sched_yield();
	CHECK(write(p[1], "g", 1) == 1 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	while (*(volatile long *)&gap < 200)
		sched_yield();
	success();
	return 0;
}
