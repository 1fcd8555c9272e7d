// calls: dup2 getpriority getrandom getrusage prctl prlimit64 sched_getaffinity
#include "guest.h"
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

/* Names, limits, usage, random bytes, affinity and environment from wherever the thread is. */
int main(void)
{
	char name[17] = "", zero[64] = {0}, bytes[64] = {0};
	struct rlimit rl, back;
	struct rusage ru;
	cpu_set_t cpus;

	hop();
	CHECK(prctl(PR_SET_NAME, "renamed") == 0 && prctl(PR_GET_NAME, name) == 0 && strcmp(name, "renamed") == 0);
	CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "renamed") == 0);
	hop();
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	rl.rlim_cur = 64;
	CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0 && getrlimit(RLIMIT_NOFILE, &back) == 0 && back.rlim_cur == 64);
	CHECK(dup2(1, 64) == -1 && errno == EBADF);
	hop();
	CHECK(getrandom(bytes, sizeof bytes, 0) == sizeof bytes && memcmp(bytes, zero, sizeof bytes) != 0);
	CHECK(getrusage(RUSAGE_SELF, &ru) == 0 && ru.ru_maxrss > 0);
	CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) >= 1 && sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	CHECK(sched_getcpu() >= 0 && getauxval(AT_PAGESZ) == PAGE);
	CHECK(setenv("X", "y", 1) == 0 && strcmp(getenv("X"), "y") == 0);
	CHECK(getpriority(PRIO_PROCESS, 0) == nice(0));
	CHECK(syscall(9999) == -1 && errno == ENOSYS);
	success();
	return 0;
}
