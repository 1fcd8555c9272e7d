// calls: close lseek openat pread64 pwrite64 read write
#include "guest.h"

/* open, write, lseek, read, pread, pwrite, O_APPEND, and their errors. */
int main(void)
{
	char buf[64];
	int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0644);

	CHECK(fd >= 0);
	CHECK(open("f", O_CREAT | O_EXCL | O_RDWR, 0644) == -1 && errno == EEXIST);
	CHECK(write(fd, "hello, world", 12) == 12);
	hop();
	CHECK(lseek(fd, 7, SEEK_SET) == 7 && read(fd, buf, sizeof buf) == 5 && memcmp(buf, "world", 5) == 0);
	CHECK(read(fd, buf, sizeof buf) == 0);
	hop();
	CHECK(pwrite(fd, "J", 1, 0) == 1 && pread(fd, buf, 5, 0) == 5 && memcmp(buf, "Jello", 5) == 0);
	CHECK(lseek(fd, 0, SEEK_CUR) == 12 && lseek(fd, 4, SEEK_END) == 16);
	CHECK(write(fd, "!", 1) == 1 && pread(fd, buf, 5, 12) == 5 && memcmp(buf, "\0\0\0\0!", 5) == 0);
	CHECK(close(fd) == 0 && write(fd, "x", 1) == -1 && errno == EBADF);
	hop();
	CHECK((fd = open("f", O_WRONLY | O_APPEND)) >= 0);
	CHECK(write(fd, "end", 3) == 3 && lseek(fd, 0, SEEK_CUR) == 20);
	CHECK(read(fd, buf, 1) == -1 && errno == EBADF);
	CHECK(syscall(SYS_write, fd, 16, 4) == -1 && errno == EFAULT);
	close(fd);
	CHECK(open("none", O_RDONLY) == -1 && errno == ENOENT);
	success();
	return 0;
}
