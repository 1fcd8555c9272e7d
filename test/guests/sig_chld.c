// calls: clone exit_group kill rt_sigaction rt_sigreturn wait4
#include "guest.h"

static _Atomic int got_pid, got_status, got_code;

static void handler(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	got_code = si->si_code;
	got_status = si->si_status;
	got_pid = si->si_pid;
}

/* SIGCHLD tells who ended and how, and wait agrees. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	int status;

	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0);
	hop();
	pid_t child = fork();

	if (child == 0)
		_exit(17);
	CHECK(child > 0);
	while (atomic_load(&got_pid) != child)
		sched_yield();
	CHECK(got_code == CLD_EXITED && got_status == 17);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 17);
	hop();
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK(child > 0 && kill(child, SIGTERM) == 0);
	while (atomic_load(&got_pid) != child)
		sched_yield();
	CHECK(got_code == CLD_KILLED && got_status == SIGTERM);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
	success();
	return 0;
}
