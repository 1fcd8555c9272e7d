// calls: mmap mremap
#include "faulting.h"

static void check_pages(char *p, int n)
{
	for (int i = 0; i < n; i++)
		CHECK(p[i * PAGE + 17] == (char)(i + 1));
}

/* mremap: shrink, grow in place, grow and move, move to a fixed place; contents go along, old places fault. */
int main(void)
{
	char *p = map_pages(64);

	catch_faults();
	for (int i = 0; i < 64; i++)
		p[i * PAGE + 17] = i + 1;
	hop();
	CHECK(mremap(p, 64 * PAGE, 32 * PAGE, 0) == p && UNMAPPED(p + 32 * PAGE));
	check_pages(p, 32);
	CHECK(mremap(p, 32 * PAGE, 40 * PAGE, 0) == p);
	check_pages(p, 32);
	CHECK(p[32 * PAGE + 17] == 0 && p[39 * PAGE + 17] == 0);
	hop();
	char *wall = mmap(p + 40 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	CHECK(wall == p + 40 * PAGE);
	CHECK(mremap(p, 40 * PAGE, 80 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	char *q = mremap(p, 40 * PAGE, 80 * PAGE, MREMAP_MAYMOVE);

	CHECK(q != MAP_FAILED && q != p && UNMAPPED(p) && UNMAPPED(p + 39 * PAGE));
	check_pages(q, 32);
	CHECK(q[79 * PAGE] == 0);
	hop();
	char *to = map_pages(80);

	memset(to, 'x', 80 * PAGE);
	CHECK(mremap(q, 80 * PAGE, 80 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to && UNMAPPED(q));
	check_pages(to, 32);
	CHECK(to[32 * PAGE + 17] == 0 && to[79 * PAGE] == 0);
	success();
	return 0;
}
