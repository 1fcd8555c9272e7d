// only: telefork
#include "guest.h"

/* A child that computes at node 1 until it is killed; its parent tells what became of it. */
int main(void)
{
	volatile unsigned long turns = 0;
	int status;
	pid_t child = popcorn_telefork(1);

	if (child == 0)
		for (;;)
			turns++;
	CHECK(child > 0);
	printf("%d\n", (int)child);
	fflush(stdout);
	CHECK(waitpid(child, &status, 0) == child);
	printf("signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	success();
	return 0;
}
