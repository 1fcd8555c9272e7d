// calls: close copy_file_range dup dup2 fcntl flock ioctl lseek memfd_create openat pread64 read sendfile
// calls: splice write
#include "guest.h"
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

/* Descriptors: dup, dup2, fcntl, flock, ioctl, sendfile, splice, copy_file_range, memfd. */
int main(void)
{
	char buf[16] = "";
	int p[2], n, fd = open("f", O_CREAT | O_RDWR, 0644), other = open("g", O_CREAT | O_RDWR, 0644);

	CHECK(write(fd, "0123456789", 10) == 10);
	int d = dup(fd);

	CHECK(lseek(d, 2, SEEK_SET) == 2 && read(fd, buf, 2) == 2 && memcmp(buf, "23", 2) == 0);
	hop();
	CHECK(dup2(d, 100) == 100 && close(d) == 0 && read(100, buf, 1) == 1 && buf[0] == '4');
	CHECK(fcntl(fd, F_GETFD) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(fd, F_DUPFD, 200) == 200);
	CHECK(flock(fd, LOCK_EX) == 0);
	int again = open("f", O_RDWR);

	CHECK(flock(again, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK && flock(fd, LOCK_UN) == 0);
	hop();
	CHECK(pipe(p) == 0 && write(p[1], "abc", 3) == 3 && ioctl(p[0], FIONREAD, &n) == 0 && n == 3);
	off_t at = 0;

	CHECK(sendfile(other, fd, &at, 10) == 10 && at == 10);
	CHECK(splice(p[0], NULL, other, NULL, 3, 0) == 3 && pread(other, buf, 16, 0) == 13);
	CHECK(memcmp(buf, "0123456789abc", 13) == 0);
	off64_t from = 5, to = 0;

	CHECK(copy_file_range(fd, &from, other, &to, 5, 0) == 5 && pread(other, buf, 5, 0) == 5);
	CHECK(memcmp(buf, "56789", 5) == 0);
	int m = memfd_create("m", 0);

	CHECK(m >= 0 && write(m, "mem", 3) == 3 && pread(m, buf, 3, 0) == 3 && memcmp(buf, "mem", 3) == 0);
	success();
	return 0;
}
