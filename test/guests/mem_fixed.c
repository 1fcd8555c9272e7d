// calls: mmap openat pread64 write
#include "faulting.h"

/* MAP_FIXED over what was there: anonymous over anonymous, a private writable file over it, PROT_NONE over that. */
int main(void)
{
	char *p = map_pages(8), buf[PAGE];
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	catch_faults();
	memset(buf, 'f', PAGE);
	CHECK(write(fd, buf, PAGE) == PAGE && write(fd, buf, PAGE) == PAGE);
	for (int round = 0; round < 10; round++) {
		memset(p, 'a', 8 * PAGE);
		hop();
		CHECK(mmap(p + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		      p + 2 * PAGE);
		CHECK(p[PAGE] == 'a' && p[2 * PAGE] == 0 && p[3 * PAGE + 9] == 0 && p[4 * PAGE] == 'a');
		CHECK(mmap(p + 3 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) == p + 3 * PAGE);
		CHECK(p[3 * PAGE] == 'f' && p[5 * PAGE - 1] == 'f' && p[5 * PAGE] == 'a');
		p[3 * PAGE] = 'w';
		CHECK(pread(fd, buf, 1, 0) == 1 && buf[0] == 'f' && p[3 * PAGE] == 'w' && p[3 * PAGE + 1] == 'f');
		hop();
		CHECK(mmap(p + 4 * PAGE, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 4 * PAGE);
		CHECK(NO_READ(p + 4 * PAGE) && NO_READ(p + 5 * PAGE) && p[6 * PAGE] == 'a' && p[3 * PAGE] == 'w');
		CHECK(mmap(p, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
		for (int i = 0; i < 8; i++)
			CHECK(p[i * PAGE] == 0);
	}
	success();
	return 0;
}
