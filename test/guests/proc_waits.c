// calls: clone clone3 close exit_group getpgid getuid kill pidfd_open pidfd_send_signal poll prlimit64
// calls: rt_sigaction wait4 waitid
#include "guest.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static pid_t child_that(void (*f)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		f();
		_exit(0);
	}
	CHECK(pid > 0);
	return pid;
}

static void exits(void) { _exit(33); }
static void aborts(void) { setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}), abort(); }
static void waits(void) { pause(); }
static void in_group(void) { setpgid(0, 0), pause(); }

static int zombie(pid_t pid)
{
	char path[32], line[512], state = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "r");

	CHECK(f && fgets(line, sizeof line, f));
	fclose(f);
	sscanf(strrchr(line, ')') + 2, "%c", &state);
	return state == 'Z';
}

/* Each thread waits for its own children wherever it is, by every kind of wait. */
static void *waiter(void *arg)
{
	int status;
	siginfo_t si;
	struct rusage ru;

	place((long)arg);
	pid_t a = child_that(exits);

	CHECK(wait4(a, &status, __WALL, &ru) == a && WEXITSTATUS(status) == 33 && ru.ru_maxrss > 0);
	pid_t b = child_that(aborts);

	CHECK(waitid(P_PID, b, &si, WEXITED) == 0 && si.si_code == CLD_KILLED && si.si_status == SIGABRT);
	CHECK(si.si_pid == b && si.si_uid == getuid() && si.si_signo == SIGCHLD);
	pid_t c = child_that(in_group);

	while (getpgid(c) != c)
		sched_yield();
	CHECK(waitpid(-c, &status, WNOHANG) == 0 && kill(-c, SIGTERM) == 0);
	CHECK(waitpid(-c, &status, 0) == c && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	pid_t d = child_that(waits);
	int fd = syscall(SYS_pidfd_open, d, 0);
	struct pollfd pfd = {fd, POLLIN, 0};

	CHECK(fd >= 0 && poll(&pfd, 1, 0) == 0);
	CHECK(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0 && poll(&pfd, 1, 10000) == 1);
	CHECK(zombie(d) && kill(d, 0) == 0);
	CHECK(waitid(P_PIDFD, fd, &si, WEXITED) == 0 && si.si_pid == d && si.si_status == SIGKILL);
	CHECK(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == -1 && errno == ESRCH && close(fd) == 0);
	pid_t e = child_that(exits);

	CHECK(waitid(P_PGID, getpgrp(), &si, WEXITED | WNOWAIT | __WNOTHREAD) == 0 && si.si_pid == e);
	CHECK(waitpid(e, &status, __WNOTHREAD) == e);
	return NULL;
}

/* wait4, waitid and pidfds of threads that are away; zombies; groups; ignored SIGCHLD; __WNOTHREAD. */
int main(void)
{
	int status;

	run_threads(3, waiter);
	hop();
	CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
	CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	pid_t gone = child_that(exits);

	/* Its number may be there a moment longer: the kernel wakes who waits before it lets go of it. */
	CHECK(waitpid(gone, &status, 0) == -1 && errno == ECHILD);
	success();
	return 0;
}
