// args: 30
// soak: 1000
// calls: ftruncate madvise mmap openat write
#include "faulting.h"

/* madvise: DONTNEED gives zeros (or the file) back, at once and everywhere; others change nothing. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	char *p = map_pages(16);
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	CHECK(write(fd, "file", 4) == 4 && ftruncate(fd, PAGE) == 0);
	char *f = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	for (int r = 0; r < rounds; r++) {
		memset(p, 'z', 16 * PAGE);
		if (r % 5 == 0)
			hop();
		CHECK(madvise(p + 4 * PAGE, 8 * PAGE, MADV_DONTNEED) == 0);
		for (int i = 0; i < 16; i++)
			CHECK(p[i * PAGE + 5] == (i >= 4 && i < 12 ? 0 : 'z'));
		p[4 * PAGE] = r;
		CHECK(p[4 * PAGE] == (char)r);
		f[0] = 'F';
		CHECK(f[0] == 'F' && madvise(f, PAGE, MADV_DONTNEED) == 0 && f[0] == 'f');
	}
	CHECK(madvise(p, 16 * PAGE, MADV_WILLNEED) == 0 && p[0] == 'z');
	CHECK(madvise(p, 16 * PAGE, MADV_HUGEPAGE) == 0 || errno == EINVAL);
	CHECK(madvise(p, 2 * PAGE, MADV_FREE) == 0 && (p[0] == 'z' || p[0] == 0) && p[2 * PAGE] == 'z');
	p[0] = 'n';
	CHECK(p[0] == 'n' && madvise(p + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	success();
	return 0;
}
