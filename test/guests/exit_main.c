// exit: 21
// calls: clock_nanosleep clone3 exit exit_group
#include "guest.h"

static pthread_t first;

/* The first thread ends before the others; the process lives on, and the last word is another thread's. */
static void *worker(void *arg)
{
	place((long)arg);
	if ((long)arg == 1) {
		CHECK(pthread_join(first, NULL) == 0);
		sleep_ms(20);
		success();
		exit(21);
	}
	return NULL;
}

int main(void)
{
	pthread_t t;

	first = pthread_self();
	for (long i = 0; i < 3; i++)
		CHECK(pthread_create(&t, NULL, worker, (void *)i) == 0);
	pthread_exit(NULL);
}
