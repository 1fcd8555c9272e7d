// calls: clone close exit_group kill read wait4 waitid
#include "guest.h"

/* waitpid and waitid in all their ways: not yet, stopped, continued, look without taking, any child. */
int main(void)
{
	int status, p[2];
	char c;
	siginfo_t si;

	CHECK(pipe(p) == 0);
	pid_t child = fork();

	if (child == 0) {
		close(p[1]);
		CHECK(read(p[0], &c, 1) == 0);
		_exit(12);
	}
	hop();
	CHECK(waitpid(child, &status, WNOHANG) == 0);
	CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	hop();
	CHECK(kill(child, SIGCONT) == 0 && waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
	close(p[1]);
	memset(&si, 0, sizeof si);
	CHECK(waitid(P_PID, child, &si, WEXITED | WNOWAIT) == 0 && si.si_pid == child && si.si_status == 12);
	hop();
	CHECK(waitid(P_ALL, 0, &si, WEXITED) == 0 && si.si_code == CLD_EXITED && si.si_status == 12);
	CHECK(waitid(P_ALL, 0, &si, WEXITED) == -1 && errno == ECHILD);
	success();
	return 0;
}
