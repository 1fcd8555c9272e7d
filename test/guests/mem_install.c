// args: 20
// soak: 500
// calls: madvise
#include "faulting.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

/* Guard regions fault wherever they are touched, their neighbours do not, and what was there is zero afterwards. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 50;
	char *p = map_pages(8);

	catch_faults();
	for (int r = 0; r < rounds; r++) {
		memset(p, 'g', 8 * PAGE);
		hop();
		if (madvise(p + 2 * PAGE, 3 * PAGE, MADV_GUARD_INSTALL) != 0) {
			CHECK(errno == EINVAL); /* before Linux 6.13 */
			break;
		}
		CHECK(p[PAGE] == 'g' && p[5 * PAGE] == 'g');
		CHECK(!READS(p + 2 * PAGE) && !WRITES(p + 4 * PAGE + 100));
		hop();
		CHECK(!READS(p + 3 * PAGE) && READS(p + 5 * PAGE) && WRITES(p + PAGE));
		p[5 * PAGE + 7] = r;
		CHECK(madvise(p + PAGE, 6 * PAGE, MADV_GUARD_REMOVE) == 0);
		hop();
		CHECK(p[5 * PAGE + 7] == (char)r);
		CHECK(madvise(p + 4 * PAGE, 2 * PAGE, MADV_REMOVE) == -1 && p[5 * PAGE + 7] == (char)r);
		for (int i = 0; i < 8; i++)
			CHECK(p[i * PAGE + 1] == (i >= 2 && i < 5 ? 0 : 'g'));
	}
	success();
	return 0;
}
