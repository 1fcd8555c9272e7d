// only: checkpoint
// args: 24
/* Much memory, every page another, with holes in it. */
#include "carry.h"

int main(int argc, char **argv)
{
	size_t n = (size_t)atoi(argv[1 % argc]) << 20;
	uint64_t *p = mmap(NULL, 2 * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t at = 0; at < n / 8; at += PAGE / 8)
		if (at / (PAGE / 8) % 7 != 3)
			p[at] = at * 2654435761u;
	saved();
	for (size_t at = 0; at < 2 * n / 8; at += PAGE / 8)
		CHECK(p[at] == (at < n / 8 && at / (PAGE / 8) % 7 != 3 ? at * 2654435761u : 0));
	success();
}
