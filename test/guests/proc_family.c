// calls: clone clone3 exit_group getpgid kill prctl read wait4 write
#include "guest.h"
#include <sys/prctl.h>

static int p[2];

static void tell(int v) { CHECK(write(p[1], &v, sizeof v) == sizeof v); }
static int told(void)
{
	int v;

	CHECK(read(p[0], &v, sizeof v) == sizeof v);
	return v;
}

static void end(pid_t pid, int code)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == code);
}

/* A child whose own child is left behind: that one becomes ours, for we are its subreaper. */
static void orphan(void)
{
	pid_t child = fork();

	if (child == 0) {
		if (fork() == 0) {
			tell(getpid());
			_exit(44);
		}
		_exit(43);
	}
	end(child, 43);
	hop();
	end(told(), 44);
}

static void session(void)
{
	pid_t child = fork();

	if (child == 0) {
		CHECK(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid());
		CHECK(setsid() == -1 && errno == EPERM);
		_exit(5);
	}
	end(child, 5);
}

/* The signal comes when the thread that made the child ends (prctl(2)). */
static void *parent_thread(void *arg)
{
	int q[2];
	char c;

	place((long)arg);
	CHECK(pipe(q) == 0); /* of its own: it must not end before its child is ready */
	pid_t child = fork();

	if (child == 0) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && write(q[1], "r", 1) == 1);
		pause();
		_exit(1);
	}
	CHECK(child > 0 && read(q[0], &c, 1) == 1 && close(q[0]) == 0 && close(q[1]) == 0);
	return NULL;
}

/* Orphans, sessions, process groups, the parent's death signal, subreaper. */
int main(void)
{
	int status, on = 0;

	hop();
	CHECK(pipe(p) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	CHECK(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 1);
	orphan();
	hop();
	session();
	run_threads(2, parent_thread);
	hop();
	CHECK(waitpid(-1, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	CHECK(waitpid(-1, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	pid_t child = fork();

	if (child == 0) {
		CHECK(getpgid(0) != getpid() && setpgid(0, 0) == 0 && getpgid(0) == getpid());
		tell(1);
		pause();
		_exit(0);
	}
	CHECK(told() == 1 && getpgid(child) == child && killpg(child, SIGKILL) == 0);
	CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGKILL);
	success();
	return 0;
}
