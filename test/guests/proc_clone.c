// calls: clone clone3 close exit_group rt_sigaction wait4
#include "guest.h"
#include <linux/sched.h>
#include <sys/prctl.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

static char stack[4][65536] __attribute__((aligned(16)));
static volatile int shared;

static int in_memory(void *arg)
{
	shared = (long)arg; /* ours too: CLONE_VM */
	return 3;
}

static int apart(void *arg)
{
	shared += (long)arg; /* a copy */
	return shared == 1000 + (long)arg && getppid() != 0 ? 4 : 5;
}

static void ended(pid_t pid, int code)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, __WALL) == pid && WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void with_clone(void)
{
	pid_t pid;
	int tid = 0;

	pid = clone(in_memory, stack[0] + sizeof stack[0], CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)77l);
	CHECK(shared == 77);
	ended(pid, 3);
	hop();
	pid = clone(in_memory, stack[1] + sizeof stack[1], CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, (void *)78l);
	ended(pid, 3);
	CHECK(shared == 78);
	shared = 1000;
	hop();
	pid = clone(apart, stack[2] + sizeof stack[2], CLONE_PARENT_SETTID | SIGUSR1, (void *)9l, &tid);
	CHECK(tid == pid);
	ended(pid, 4);
	CHECK(shared == 1000);
}

static void with_clone3(void)
{
	int fd = -1;
	siginfo_t si;
	struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CLEAR_SIGHAND,
				  .exit_signal = SIGCHLD};
	pid_t parent_tid = 0;
	static pid_t child_tid;

	args.pidfd = (uintptr_t)&fd, args.parent_tid = (uintptr_t)&parent_tid, args.child_tid = (uintptr_t)&child_tid;
	hop();
	long pid = syscall(SYS_clone3, &args, sizeof args);

	if (pid == 0)
		_exit(signal(SIGUSR1, SIG_DFL) == SIG_DFL && child_tid == popcorn_gettid() ? 21 : 22);
	CHECK(pid > 0 && fd >= 0 && parent_tid == pid && child_tid == 0);
	CHECK(waitid(P_PIDFD, fd, &si, WEXITED) == 0 && si.si_pid == pid && si.si_status == 21 && close(fd) == 0);
	args.flags = CLONE_SIGHAND; /* not without CLONE_VM */
	CHECK(syscall(SYS_clone3, &args, sizeof args) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_clone3, NULL, sizeof args) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_clone3, &args, 8) == -1 && errno == EINVAL);
}

static void sibling(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) { /* its own child becomes a child of ours */
		pid_t s = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);

		_exit(s == 0 ? 31 : 30);
	}
	hop();
	int sum = 0;

	for (int i = 0; i < 2; i++) {
		CHECK(wait(&status) > 0 && WIFEXITED(status));
		sum += WEXITSTATUS(status);
	}
	CHECK(sum == 61 && wait(&status) == -1 && errno == ECHILD);
}

static void nothing(int sig) { (void)sig; }

static void *worker(void *arg)
{
	place((long)arg);
	with_clone3();
	return NULL;
}

/* clone and clone3 with flags beyond fork's and pthread_create's, by threads that are away. */
int main(void)
{
	CHECK(signal(SIGUSR1, nothing) != SIG_ERR);
	hop();
	with_clone();
	with_clone3();
	sibling();
	run_threads(1, worker);
	success();
	return 0;
}
