// only: checkpoint
/* What belongs to the process: ids, limits, name, arguments, environment, program file, personality, memory flags. */
#include "carry.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static void line(const char *file, char *buf, size_t n)
{
	int fd = open(file, O_RDONLY);

	CHECK(fd >= 0);
	memset(buf, 0, n);
	CHECK(read(fd, buf, n - 1) >= 0);
	close(fd);
}

int main(int argc, char **argv)
{
	char exe[PATH_MAX] = {0}, args[4096], env[8192], buf[8192];
	struct rlimit core = {12345, 67890}, files, rl;
	pid_t pid = getpid();
	cpu_set_t one, now;
	int niceness;
	char *wipe = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argc, (void)argv;
	CHECK(readlink("/proc/self/exe", exe, sizeof(exe)) > 0);
	CHECK(setrlimit(RLIMIT_CORE, &core) == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0);
	files.rlim_cur = 20;
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	CHECK(prctl(PR_SET_NAME, "carried") == 0 && prctl(PR_SET_TIMERSLACK, 123456) == 0);
	CHECK(madvise(wipe, PAGE, MADV_WIPEONFORK) == 0 && madvise(wipe + PAGE, PAGE, MADV_DONTFORK) == 0);
	niceness = nice(3);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	strcpy(wipe, "wiped");
	strcpy(wipe + PAGE, "not there");
	line("/proc/self/cmdline", args, sizeof(args));
	line("/proc/self/environ", env, sizeof(env));
	saved();
	CHECK(getpid() == pid);
	CHECK(readlink("/proc/self/exe", buf, sizeof(buf)) == (ssize_t)strlen(exe) && memcmp(exe, buf, strlen(exe)) == 0);
	line("/proc/self/cmdline", buf, sizeof(args));
	CHECK(memcmp(buf, args, sizeof(args)) == 0);
	line("/proc/self/environ", buf, sizeof(env));
	CHECK(memcmp(buf, env, sizeof(env)) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &rl) == 0 && rl.rlim_cur == 12345 && rl.rlim_max == 67890);
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 20 && rl.rlim_max == files.rlim_max);
	CHECK(prctl(PR_GET_NAME, buf) == 0 && strcmp(buf, "carried") == 0 && prctl(PR_GET_TIMERSLACK) == 123456);
	CHECK(sched_getaffinity(0, sizeof(now), &now) == 0 && CPU_EQUAL(&one, &now));
	errno = 0;
	CHECK(nice(0) == niceness && strcmp(wipe, "wiped") == 0 && strcmp(wipe + PAGE, "not there") == 0);
	pid_t child = fork();
	if (child == 0)
		_exit(wipe[0] == 0 ? 7 : 8);
	int status;
	CHECK(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	if (fork() == 0)
		_exit(wipe[PAGE]); /* is not mapped there */
	CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	success();
}
