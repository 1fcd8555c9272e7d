// calls: getuid getgid geteuid getegid getppid getpgrp getpgid getsid getgroups getresuid getresgid getpriority setpriority
// calls: setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget capset personality uname sysinfo
// calls: getrlimit setrlimit prlimit64 getrusage times time gettimeofday clock_getres getcpu getrandom prctl
// calls: sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max sched_get_priority_min
// calls: sched_rr_get_interval sched_setaffinity sched_getaffinity ioprio_get set_tid_address set_robust_list get_robust_list
// calls: setpgid arch_prctl membarrier tkill kill rt_sigpending
#include "guest.h"
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <asm/prctl.h>

#define SYS(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static void identity(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg, groups[64];

	CHECK(SYS(getresuid, &r, &e, &s) == 0 && SYS(getresgid, &rg, &eg, &sg) == 0);
	CHECK((uid_t)SYS(getuid) == r && (uid_t)SYS(geteuid) == e && (gid_t)SYS(getgid) == rg && (gid_t)SYS(getegid) == eg);
	CHECK(SYS(setuid, e) == 0 && SYS(setgid, eg) == 0 && SYS(setreuid, r, e) == 0 && SYS(setregid, rg, eg) == 0);
	CHECK(SYS(setresuid, -1, -1, -1) == 0 && SYS(setresgid, -1, -1, -1) == 0);
	CHECK((uid_t)SYS(setfsuid, -1) == e && (gid_t)SYS(setfsgid, -1) == eg);
	int n = SYS(getgroups, 64, groups);

	CHECK(n >= 0 && (SYS(setgroups, n, groups) == 0 || errno == EPERM));
	CHECK(SYS(getpgid, 0) == SYS(getpgrp) && SYS(getsid, 0) >= 0 && SYS(getppid) >= 0);
	CHECK(SYS(setpgid, 0, 0x3fffffff) == -1 && errno == EPERM);
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	CHECK(SYS(capget, &h, d) == 0 && SYS(capset, &h, d) == 0);
}

static void scheduling(void)
{
	struct sched_param p = {0};
	struct timespec ts;
	cpu_set_t before, one; /* the call writes only what the kernel has */
	unsigned cpu, node;

	CPU_ZERO(&before);
	CHECK(SYS(sched_getscheduler, 0) == SCHED_OTHER && SYS(sched_setscheduler, 0, SCHED_BATCH, &p) == 0);
	CHECK(SYS(sched_getscheduler, 0) == SCHED_BATCH && SYS(sched_setparam, 0, &p) == 0 && SYS(sched_getparam, 0, &p) == 0);
	CHECK(SYS(sched_get_priority_max, SCHED_FIFO) == 99 && SYS(sched_get_priority_min, SCHED_FIFO) == 1);
	CHECK(SYS(sched_rr_get_interval, 0, &ts) == 0 && SYS(sched_getaffinity, 0, sizeof before, &before) > 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	CHECK(SYS(sched_setaffinity, 0, sizeof one, &one) == 0 && SYS(sched_getaffinity, 0, sizeof before, &before) > 0);
	CHECK(CPU_COUNT(&before) == 1 && SYS(getcpu, &cpu, &node, NULL) == 0);
	CHECK(SYS(setpriority, PRIO_PROCESS, 0, 3) == 0 && SYS(getpriority, PRIO_PROCESS, 0) == 20 - 3);
	CHECK(SYS(ioprio_get, 1, 0) >= 0);
}

static void limits_and_times(void)
{
	struct rlimit l, got;
	struct rusage ru;
	struct tms tms;
	struct timeval tv;
	struct timespec ts;
	struct sysinfo si;
	struct utsname u;
	time_t t;
	char random[32] = {0}, none[32] = {0};

	CHECK(SYS(getrlimit, RLIMIT_NOFILE, &l) == 0);
	l.rlim_cur--;
	CHECK(SYS(setrlimit, RLIMIT_NOFILE, &l) == 0 && SYS(prlimit64, 0, RLIMIT_NOFILE, NULL, &got) == 0 && got.rlim_cur == l.rlim_cur);
	CHECK(SYS(getrusage, RUSAGE_SELF, &ru) == 0 && SYS(times, &tms) != -1 && SYS(time, &t) == t);
	CHECK(SYS(gettimeofday, &tv, NULL) == 0 && tv.tv_sec >= t && SYS(clock_getres, CLOCK_MONOTONIC, &ts) == 0 && ts.tv_nsec > 0);
	CHECK(SYS(sysinfo, &si) == 0 && si.totalram > 0 && SYS(uname, &u) == 0 && strcmp(u.sysname, "Linux") == 0);
	CHECK(SYS(getrandom, random, sizeof random, 0) == sizeof random && memcmp(random, none, sizeof random) != 0);
	CHECK(SYS(personality, 0xffffffff) >= 0);
}

static void thread(void)
{
	static pid_t cleared;
	char name[16];
	struct robust_list_head *head;
	size_t len;
	unsigned long fs;
	uint64_t pending;

	CHECK(SYS(prctl, PR_SET_NAME, "renamed") == 0 && SYS(prctl, PR_GET_NAME, name) == 0 && strcmp(name, "renamed") == 0);
	CHECK(SYS(get_robust_list, 0, &head, &len) == 0 && SYS(set_robust_list, head, len) == 0);
	CHECK(SYS(arch_prctl, ARCH_GET_FS, &fs) == 0 && fs == (unsigned long)pthread_self());
	CHECK(SYS(membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0 && SYS(rt_sigpending, &pending, 8) == 0 && pending == 0);
	CHECK(SYS(set_tid_address, &cleared) == popcorn_gettid());
	CHECK(SYS(tkill, popcorn_gettid(), 0) == 0 && SYS(kill, getpid(), 0) == 0);
}

/* Who a thread that is away is, what it may use, and how it is scheduled: at home. */
int main(void)
{
	identity();
	hop();
	limits_and_times();
	thread();
	hop();
	scheduling();
	success();
	return 0;
}
