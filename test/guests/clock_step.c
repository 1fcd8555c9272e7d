// only: virtual_test.go
#include "guest.h"

/* Sets the clock of the machine by so many seconds. */
int main(int argc, char **argv)
{
	struct timespec ts;

	CHECK(argc == 2 && clock_gettime(CLOCK_REALTIME, &ts) == 0);
	ts.tv_sec += atoi(argv[1]);
	CHECK(clock_settime(CLOCK_REALTIME, &ts) == 0);
	return 0;
}
