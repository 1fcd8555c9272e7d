// args: 20
// soak: 500
// calls: brk madvise mlock mmap mprotect mremap munlock munmap
#include "faulting.h"

/* Calls that the kernel refuses change nothing: memory written anywhere keeps its content. */
enum { PAGES = 8 };

static bool kept(const char *p, char c)
{
	for (int i = 0; i < PAGES * PAGE; i += PAGE / 2)
		if (p[i] != c)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 50;
	char *p = map_pages(PAGES), *heap = sbrk(PAGES * PAGE), *from = map_pages(1);

	CHECK(heap != (void *)-1);
	heap = (char *)(((uintptr_t)heap + PAGE - 1) & -PAGE) - PAGE;
	for (int r = 0; r < rounds; r++) {
		char c = 'a' + r % 26;

		hop();
		memset(p, c, PAGES * PAGE);
		memset(heap + PAGE, c, (PAGES - 1) * PAGE);
		CHECK(munmap(p + 1, PAGE) == -1 && errno == EINVAL && munmap(p, 0) == -1 && errno == EINVAL);
		CHECK(madvise(p + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL && kept(p, c));
		CHECK(mmap(p, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, 999, 0) == MAP_FAILED && errno == EBADF);
		CHECK(mmap(p + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
		CHECK(kept(p, c));
		CHECK(mremap(from, PAGE, PAGE, MREMAP_FIXED, p) == MAP_FAILED && errno == EINVAL && kept(p, c));
		CHECK(mremap(from + 1, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, p) == MAP_FAILED && kept(p, c));
		CHECK(mprotect(p + 1, PAGE, PROT_NONE) == -1 && errno == EINVAL && kept(p, c));
		hop();
		memset(p, ++c, PAGES * PAGE);
		CHECK(mlock(p, PAGE) == 0 && madvise(p, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL && kept(p, c));
		hop();
		CHECK(kept(p, c) && munlock(p, PAGE) == 0);
		syscall(SYS_brk, 1L);
		c--;
		for (int i = PAGE; i < PAGES * PAGE; i += PAGE)
			CHECK(heap[i] == c);
	}
	success();
	return 0;
}
