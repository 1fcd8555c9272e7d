// calls: access clone3 getcwd geteuid getpgid getpgrp getpid getppid getsid gettid getuid readlink uname
#include "guest.h"
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static pid_t pid, ppid, sid, main_tid;
static char exe[PATH_MAX], cwd[PATH_MAX], host[256];
static _Atomic pid_t tids[4];

/* Who and where the program is, asked from every node: always the same answers. */
static void *worker(void *arg)
{
	char got[PATH_MAX] = "";
	pid_t tid = gettid();
	struct utsname un;

	tids[(long)arg] = tid;
	for (int i = 0; i < 6; i++) {
		place((long)arg + i);
		CHECK(getpid() == pid && getppid() == ppid && gettid() == tid && popcorn_gettid() == tid);
		CHECK(getpgrp() == getpgid(0) && getsid(0) == sid && getuid() == geteuid());
		memset(got, 0, sizeof got); /* readlink ends nothing with a null byte */
		CHECK(readlink("/proc/self/exe", got, sizeof got - 1) > 0 && strcmp(got, exe) == 0);
		CHECK(getcwd(got, sizeof got) && strcmp(got, cwd) == 0);
		CHECK(uname(&un) == 0 && strcmp(un.nodename, host) == 0);
		snprintf(got, sizeof got, "/proc/self/task/%d/comm", tid);
		CHECK(access(got, R_OK) == 0);
	}
	return NULL;
}

int main(void)
{
	CHECK(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0 && getcwd(cwd, sizeof cwd));
	CHECK(gethostname(host, sizeof host) == 0);
	pid = getpid(), ppid = getppid(), main_tid = gettid();
	sid = getsid(0); /* 0 where the leader is outside of the pid namespace */
	CHECK(main_tid == pid && sid >= 0);
	run_threads(4, worker);
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			CHECK(tids[i] != tids[j] && tids[i] != main_tid);
	success();
	return 0;
}
