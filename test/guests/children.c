// only: children_test.go
#include "guest.h"
#include <spawn.h>

/* Waits until this process is at node 1, to which nobody but popcorn brings it, and computes there. */
static int follows(int n)
{
	volatile unsigned long sum = 0;
	int pipes[2];
	char c = 0;

	if (nodes() > 1)
		for (double late = now() + 30; popcorn_current_nid() != 1; sleep_ms(5))
			CHECK(now() < late);
	for (unsigned long i = 0; i < 1000000; i++)
		sum += i * n;
	CHECK(sum == 499999500000ul * n);
	CHECK(pipe(pipes) == 0 && write(pipes[1], "x", 1) == 1 && read(pipes[0], &c, 1) == 1 && c == 'x');
	return n;
}

static void *runs(void *arg)
{
	follows(*(int *)arg);
	return NULL;
}

static int status_of(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Every way to make a process: each goes where the job's threads are, and so do its threads and its children. */
int main(int argc, char **argv)
{
	if (argc > 1)
		return follows(atoi(argv[1]));
	char *args[] = {argv[0], "3", NULL}, *args2[] = {argv[0], "4", NULL};
	pid_t p = fork(), grandchild;

	if (p == 0)
		_exit(follows(1));
	CHECK(status_of(p) == 1);
	if ((p = fork()) == 0) { /* one that makes a child before it is followed, and a thread and a child after */
		int two = 2;
		pthread_t t;

		if ((grandchild = fork()) == 0)
			_exit(follows(5));
		follows(2);
		CHECK(pthread_create(&t, NULL, runs, &two) == 0 && pthread_join(t, NULL) == 0);
		CHECK(status_of(grandchild) == 5);
		if ((grandchild = fork()) == 0)
			_exit(follows(6));
		CHECK(status_of(grandchild) == 6);
		_exit(2);
	}
	CHECK(status_of(p) == 2);
	if ((p = vfork()) == 0) {
		execv(argv[0], args);
		_exit(99);
	}
	CHECK(status_of(p) == 3);
	CHECK(posix_spawn(&p, argv[0], NULL, NULL, args2, environ) == 0);
	CHECK(status_of(p) == 4);
	for (int i = 0; i < 200; i++) /* none of these lives long enough */
		if ((p = fork()) == 0)
			_exit(i);
		else
			CHECK(status_of(p) == i);
	if ((p = fork()) == 0)
		for (follows(7);; pause())
			kill(getppid(), SIGCHLD); /* ignored: it is there */
	sleep_ms(300);
	CHECK(kill(p, SIGTERM) == 0);
	int status;

	CHECK(waitpid(p, &status, 0) == p && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	success();
	return 0;
}
