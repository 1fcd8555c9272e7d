// calls: clone3 openat pread64 pwrite64 write
#include "guest.h"

/* Direct reads and writes, which pin their pages, from and into memory another thread touches elsewhere. */
static char *buf;

static void *toucher(void *arg)
{
	place((long)arg);
	for (int i = 0; i < 16; i++)
		CHECK(buf[i * PAGE] == 'd' && buf[i * PAGE + PAGE - 1] == 'd');
	memset(buf, 'e', 16 * PAGE);
	return NULL;
}

int main(void)
{
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);

	if (fd < 0) {
		CHECK(errno == EINVAL); /* this file system has none */
		CHECK((fd = open("f", O_CREAT | O_RDWR, 0644)) >= 0);
	}
	buf = popcorn_malloc(16 * PAGE);
	memset(buf, 'd', 16 * PAGE);
	hop();
	CHECK(write(fd, buf, 16 * PAGE) == 16 * PAGE);
	memset(buf, 'x', 16 * PAGE);
	CHECK(pread(fd, buf, 16 * PAGE, 0) == 16 * PAGE);
	run_threads(1, toucher);
	hop();
	CHECK(pwrite(fd, buf, 16 * PAGE, 0) == 16 * PAGE);
	memset(buf, 'y', 16 * PAGE);
	CHECK(pread(fd, buf, 16 * PAGE, 0) == 16 * PAGE && buf[5 * PAGE] == 'e' && buf[16 * PAGE - 1] == 'e');
	success();
	return 0;
}
