// calls: madvise mmap mprotect munmap
#include "faulting.h"

/* A reserved 64 GiB of PROT_NONE, pieces of it opened far apart, used and closed, as run times do. */
int main(void)
{
	size_t size = 64ul << 30;
	char *arena = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(arena != MAP_FAILED);
	catch_faults();
	CHECK(NO_READ(arena) && NO_WRITE(arena + size - 1));
	for (int i = 0; i < 16; i++) {
		char *piece = arena + ((size_t)i * 37 % 64 << 30) + (size_t)i * 5 * PAGE;

		hop();
		CHECK(mprotect(piece, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
		CHECK(piece[0] == 0 && piece[4 * PAGE - 1] == 0 && NO_READ(piece + 4 * PAGE));
		memset(piece, i + 1, 4 * PAGE);
		CHECK(piece[PAGE] == i + 1);
		if (i % 3 == 0) {
			CHECK(madvise(piece, 4 * PAGE, MADV_DONTNEED) == 0 && piece[0] == 0);
			CHECK(mprotect(piece, 4 * PAGE, PROT_NONE) == 0 && NO_READ(piece));
		}
	}
	CHECK(munmap(arena, size) == 0 && UNMAPPED(arena + 12345));
	success();
	return 0;
}
