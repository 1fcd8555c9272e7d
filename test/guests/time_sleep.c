// calls: clock_nanosleep
#include "guest.h"

/* Sleeps last at least as long as asked, by every call and clock; errors are theirs. */
int main(void)
{
	struct timespec ts = {0, 20000000}, bad = {0, 2000000000}, at;
	double start = now();

	CHECK(nanosleep(&ts, NULL) == 0 && now() - start >= 0.0199);
	hop();
	start = now();
	CHECK(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL) == 0 && now() - start >= 0.0199);
	hop();
	start = now(); /* first: reading a clock may take its time */
	CHECK(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
	at.tv_nsec += 20000000;
	if (at.tv_nsec >= 1000000000)
		at.tv_sec++, at.tv_nsec -= 1000000000;
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0 && now() - start >= 0.0199);
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0);
	hop();
	CHECK(nanosleep(&bad, NULL) == -1 && errno == EINVAL);
	start = now();
	CHECK(usleep(5000) == 0 && now() - start >= 0.0049);
	success();
	return 0;
}
