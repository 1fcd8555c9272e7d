// calls: poll read timerfd_create timerfd_gettime timerfd_settime
#include "guest.h"
#include <sys/timerfd.h>

/* timerfd: one shot, periodic, absolute, disarmed. */
int main(void)
{
	uint64_t n, total = 0;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec its = {{0, 0}, {0, 20000000}}, old;
	struct pollfd pfd = {fd, POLLIN, 0};
	double start = now();

	CHECK(fd >= 0 && timerfd_settime(fd, 0, &its, NULL) == 0);
	CHECK(read(fd, &n, sizeof n) == sizeof n && n == 1 && now() - start >= 0.019);
	hop();
	its.it_interval.tv_nsec = 5000000, its.it_value.tv_nsec = 5000000;
	start = now();
	CHECK(timerfd_settime(fd, 0, &its, NULL) == 0);
	while (total < 5) {
		CHECK(poll(&pfd, 1, 10000) == 1 && read(fd, &n, sizeof n) == sizeof n);
		total += n;
	}
	CHECK(now() - start >= 0.024);
	hop();
	memset(&its, 0, sizeof its);
	CHECK(timerfd_settime(fd, 0, &its, &old) == 0 && old.it_interval.tv_nsec == 5000000 && poll(&pfd, 1, 20) == 0);
	clock_gettime(CLOCK_MONOTONIC, &its.it_value);
	its.it_value.tv_sec += 1;
	start = now();
	CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0 && timerfd_gettime(fd, &old) == 0);
	CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0);
	CHECK(read(fd, &n, sizeof n) == sizeof n && n == 1 && now() - start >= 0.9);
	success();
	return 0;
}
