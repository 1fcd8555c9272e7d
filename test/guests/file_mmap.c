// calls: close mmap munmap openat pread64 write
#include "guest.h"

/* A file mapped private and shared: what is read, what is written back, and beyond the end. */
int main(void)
{
	char buf[PAGE], *p, *s;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	for (int i = 0; i < 4; i++) {
		memset(buf, 'a' + i, PAGE);
		CHECK(write(fd, buf, PAGE) == PAGE);
	}
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && p[0] == 'a' && p[3 * PAGE] == 'd');
	hop();
	p[PAGE] = 'X';
	CHECK(pread(fd, buf, 1, PAGE) == 1 && buf[0] == 'b' && p[PAGE] == 'X' && p[PAGE + 1] == 'b');
	s = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * PAGE);
	CHECK(s != MAP_FAILED && s[0] == 'c');
	hop();
	s[5] = 'Y';
	CHECK(msync(s, PAGE, MS_SYNC) == 0);
	CHECK(pread(fd, buf, 8, 2 * PAGE) == 8 && memcmp(buf, "cccccYcc", 8) == 0);
	hop();
	CHECK(pwrite(fd, "Z", 1, 2 * PAGE + 6) == 1 && s[6] == 'Z' && s[7] == 'c');
	close(fd);
	CHECK(s[PAGE] == 'd' && munmap(s, 2 * PAGE) == 0 && munmap(p, 4 * PAGE) == 0);
	fd = open("/proc/self/exe", O_RDONLY);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && memcmp(p, "\177ELF", 4) == 0);
	success();
	return 0;
}
