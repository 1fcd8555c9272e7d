// calls: clone3 execve getpid
#include "guest.h"

/* execve called by a thread that is not the first: the new program has the process id and one thread. */
static void *worker(void *arg)
{
	char pid[16];

	place(1);
	snprintf(pid, sizeof pid, "%d", getpid());
	execl("/proc/self/exe", "again", pid, (char *)NULL);
	CHECK(!"execl returned");
	return arg;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		CHECK(atoi(argv[1]) == getpid() && popcorn_gettid() == getpid());
		success();
		return 0;
	}
	run_threads(1, worker);
	return 1;
}
