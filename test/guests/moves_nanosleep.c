// only: moves
// args: 0.2
#include "moves.h"

/* Sits in nanosleep and clock_nanosleep, relative and absolute: no sleep is cut short, interrupted or begun again. */
int main(int argc, char **argv)
{
	moves_begin(argc, argv);
	for (int i = 0; moves_go_on(); i++) {
		struct timespec ts = {0, 100000000}, at;
		double start = now();

		if (i % 2) {
			clock_gettime(CLOCK_MONOTONIC, &at);
			at.tv_nsec += 100000000;
			at.tv_sec += at.tv_nsec / 1000000000, at.tv_nsec %= 1000000000;
			CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0);
		} else {
			CHECK(nanosleep(&ts, NULL) == 0);
		}
		lasted(start, 100);
	}
	return moves_end();
}
