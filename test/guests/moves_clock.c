// only: moves
// args: 0.2
#include "moves.h"
#include <x86intrin.h>

/* Reads clocks and does nothing else, so that a move mostly finds it in the middle of reading one: none runs backwards
 * or leaps, and neither does the processor's counter.
 */
static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};

int main(int argc, char **argv)
{
	int64_t last[3] = {0};
	uint64_t count = 0;

	moves_begin(argc, argv);
	for (long n = 0; n % 64 != 0 || moves_go_on(); n++) {
		struct timespec ts;
		int c = n % 3;

		CHECK(clock_gettime(clocks[c], &ts) == 0);
		int64_t t = ts.tv_sec * 1000000000ll + ts.tv_nsec;

		CHECK(t >= last[c] && (last[c] == 0 || t - last[c] < 10000000000ll));
		last[c] = t;
		if (n % 1024 == 0) {
			uint64_t now = __rdtsc();

			CHECK(now >= count);
			count = now;
		}
	}
	return moves_end();
}
