// calls: lseek mmap openat preadv readv writev
#include "guest.h"

/* readv, writev and preadv with parts on pages nobody touched before. */
int main(void)
{
	char *a = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	CHECK(a != MAP_FAILED && fd >= 0);
	memset(a, 'a', PAGE), memset(a + PAGE, 'b', PAGE);
	struct iovec out[] = {{a + 10, 100}, {a + PAGE - 50, 100}, {a + PAGE, 0}, {a + PAGE, PAGE}};

	CHECK(writev(fd, out, 4) == 200 + PAGE);
	hop();
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	struct iovec in[] = {{a + 3 * PAGE - 75, 150}, {a + 5 * PAGE, 2 * PAGE}};

	CHECK(readv(fd, in, 2) == 200 + PAGE);
	for (int i = 0; i < 150; i++)
		CHECK(a[3 * PAGE - 75 + i] == 'a');
	for (int i = 0; i < 50 + PAGE; i++)
		CHECK(a[5 * PAGE + i] == 'b');
	CHECK(a[5 * PAGE + 50 + PAGE] == 0);
	hop();
	CHECK(preadv(fd, in, 1, 149) == 150 && in[0].iov_base && a[3 * PAGE - 75] == 'a' && a[3 * PAGE - 74] == 'b');
	struct iovec bad[] = {{a, 8}, {(void *)16, 8}};

	CHECK(preadv(fd, bad, 2, 0) == 8 || errno == EFAULT);
	success();
	return 0;
}
