// only: fatal_test.go
#include "guest.h"
#include <sys/resource.h>

static int sig;

static void *worker(void *arg)
{
	place(1);
	CHECK(pthread_kill(pthread_self(), sig) == 0);
	return arg;
}

/* A thread that is away gets a signal with its default action. */
int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};

	CHECK(argc == 2 && (sig = atoi(argv[1])) > 0 && setrlimit(RLIMIT_CORE, &none) == 0);
	CHECK(signal(sig, SIG_DFL) != SIG_ERR || sig == SIGKILL);
	run_threads(1, worker);
	return 5;
}
