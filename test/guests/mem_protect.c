// args: 50
// soak: 2000
// calls: mprotect munmap
#include "faulting.h"

/* mprotect down and up, with the right signal for each touch, and the memory unharmed. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	char *p = map_pages(4);

	catch_faults();
	for (int r = 0; r < rounds; r++) {
		if (r % 10 == 0)
			hop();
		p[PAGE] = r;
		CHECK(mprotect(p + PAGE, 2 * PAGE, PROT_READ) == 0);
		CHECK(READS(p + PAGE) && NO_WRITE(p + PAGE) && NO_WRITE(p + 2 * PAGE) && WRITES(p) && WRITES(p + 3 * PAGE));
		CHECK(mprotect(p, 4 * PAGE, PROT_NONE) == 0);
		CHECK(NO_READ(p) && NO_READ(p + PAGE) && NO_WRITE(p + 3 * PAGE));
		CHECK(mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
		CHECK(p[PAGE] == (char)r && WRITES(p + PAGE) && WRITES(p + 2 * PAGE));
	}
	CHECK(mprotect(p + 1, PAGE, PROT_READ) == -1 && errno == EINVAL);
	CHECK(munmap(p, PAGE) == 0 && mprotect(p, PAGE, PROT_READ) == -1 && errno == ENOMEM);
	success();
	return 0;
}
