// calls: ftruncate mmap newfstatat openat pread64 write
#include "guest.h"

static sigjmp_buf back;
static void bus(int sig) { siglongjmp(back, sig); }

/* ftruncate up and down, truncate, fallocate; a shared mapping past the new end gives SIGBUS. */
int main(void)
{
	char buf[8];
	struct stat st;
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	CHECK(write(fd, "abcdef", 6) == 6 && ftruncate(fd, 3) == 0 && pread(fd, buf, 8, 0) == 3);
	hop();
	CHECK(ftruncate(fd, 3 * PAGE) == 0 && fstat(fd, &st) == 0 && st.st_size == 3 * PAGE);
	CHECK(pread(fd, buf, 8, 0) == 8 && memcmp(buf, "abc\0\0\0\0\0", 8) == 0);
	hop();
	volatile char *s = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(s != MAP_FAILED);
	s[2 * PAGE] = 'x';
	CHECK(ftruncate(fd, PAGE) == 0);
	signal(SIGBUS, bus);
	if (sigsetjmp(back, 1) == 0) {
		buf[0] = s[2 * PAGE];
		CHECK(!"read past the end of the file");
	}
	hop();
	CHECK(s[0] == 'a' && truncate("f", 2 * PAGE) == 0 && s[PAGE] == 0);
	CHECK(posix_fallocate(fd, 0, 5 * PAGE) == 0 && fstat(fd, &st) == 0 && st.st_size == 5 * PAGE);
	success();
	return 0;
}
