// calls: clock_nanosleep clone3 dup2 execve fcntl getpid
#include "guest.h"

static void *idle(void *arg) { sleep_ms(100000); return arg; }

/* execve of itself, three generations, with other threads alive; pid and descriptors go on. */
int main(int argc, char **argv)
{
	char generation[16], pid[16];
	int g = argc > 1 ? atoi(argv[1]) : 0;

	if (g > 0) {
		CHECK(atoi(argv[2]) == getpid());
		CHECK(fcntl(100, F_GETFD) == 0 && fcntl(101, F_GETFD) == -1);
	} else {
		CHECK(dup2(1, 100) == 100 && dup2(1, 101) == 101);
	}
	printf("generation %d\n", g);
	fflush(stdout);
	if (g == 3) {
		success();
		return 0;
	}
	pthread_t t;

	for (long i = 0; i < 3; i++)
		CHECK(pthread_create(&t, NULL, idle, NULL) == 0);
	if (g == 0)
		fcntl(101, F_SETFD, FD_CLOEXEC);
	snprintf(generation, sizeof generation, "%d", g + 1);
	snprintf(pid, sizeof pid, "%d", getpid());
	execl("/proc/self/exe", "proc_exec", generation, pid, (char *)NULL);
	CHECK(!"execl returned");
	return 1;
}
