// args: 60
// soak: 2000
// calls: clock_gettime
#include "guest.h"

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW,
				   CLOCK_MONOTONIC_COARSE};
enum { CLOCKS = sizeof clocks / sizeof *clocks };
static int64_t last[CLOCKS];

static int64_t read_clock(int c)
{
	struct timespec ts;

	CHECK(clock_gettime(clocks[c], &ts) == 0);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* No clock runs backwards or leaps over moves. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1000;
	struct timespec res;

	for (int c = 0; c < CLOCKS; c++)
		last[c] = read_clock(c);
	for (int r = 0; r < rounds; r++) {
		place(r);
		for (int c = 0; c < CLOCKS; c++) {
			int64_t t = read_clock(c);

			CHECK(t >= last[c]);
			CHECK(t - last[c] < 20000000000ll);
			last[c] = t;
		}
		struct timeval tv;

		CHECK(gettimeofday(&tv, NULL) == 0);
		CHECK(llabs(tv.tv_sec - time(NULL)) <= 2);
	}
	CHECK(clock_getres(CLOCK_MONOTONIC, &res) == 0 && clock_gettime(12345, &res) == -1 && errno == EINVAL);
	success();
	return 0;
}
