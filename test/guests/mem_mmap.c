// args: 100
// soak: 5000
// calls: mmap munmap
#include "faulting.h"

/* Mapping and unmapping: fresh memory is zero each time, holes fault, neighbours live. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 500;

	catch_faults();
	for (int r = 0; r < rounds; r++) {
		char *p = map_pages(8);

		if (r % 10 == 0)
			hop();
		for (int i = 0; i < 8; i++) {
			CHECK(p[i * PAGE] == 0 && p[i * PAGE + PAGE - 1] == 0);
			p[i * PAGE] = r + i;
		}
		CHECK(munmap(p + 2 * PAGE, 3 * PAGE) == 0);
		CHECK(UNMAPPED(p + 2 * PAGE) && UNMAPPED(p + 4 * PAGE + 100) && READS(p + PAGE) && WRITES(p + 5 * PAGE));
		CHECK(p[PAGE] == (char)(r + 1) && p[5 * PAGE] == (char)(r + 5));
		char *again = mmap(p + 3 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		CHECK(again == p + 3 * PAGE && *again == 0 && NO_WRITE(again));
		CHECK(mmap(p + 3 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
		      MAP_FAILED && errno == EEXIST);
		CHECK(munmap(p, 8 * PAGE) == 0 && UNMAPPED(p) && UNMAPPED(again));
	}
	CHECK(mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
	success();
	return 0;
}
