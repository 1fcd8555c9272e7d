// only: checkpoint
/* Files stay open at their offsets, with their flags; a deleted one keeps its content; two numbers of one description
 * still share its offset; locks hold; the working directory and umask are as they were. */
#include "carry.h"

#include <sys/file.h>

int main(void)
{
	char buf[64] = {0}, cwd[PATH_MAX], now[PATH_MAX];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
	int in, out, twice, app, gone, dir, null, unnamed;
	struct stat st;

	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	out = open("out", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(write(out, "0123456789abcdef", 16) == 16);
	in = open("out", O_RDONLY | O_CLOEXEC);
	CHECK(lseek(in, 4, SEEK_SET) == 4);
	twice = fcntl(in, F_DUPFD, 100);
	app = open("log", O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0600);
	CHECK(write(app, "one\n", 4) == 4);
	gone = open("gone", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(write(gone, "still here", 10) == 10 && unlink("gone") == 0 && lseek(gone, 6, SEEK_SET) == 6);
	unnamed = open(".", O_TMPFILE | O_RDWR | O_NOFOLLOW, 0600);
	CHECK(unnamed >= 0 && write(unnamed, "no name", 7) == 7);
	dir = open(".", O_RDONLY | O_DIRECTORY);
	null = open("/dev/null", O_RDWR);
	CHECK(twice == 100 && dir >= 0 && null >= 0 && fcntl(out, F_SETLK, &lock) == 0 && flock(app, LOCK_EX) == 0);
	umask(027);
	saved();
	CHECK(read(twice, buf, 2) == 2 && memcmp(buf, "45", 2) == 0 && lseek(in, 0, SEEK_CUR) == 6);
	CHECK((fcntl(in, F_GETFD) & FD_CLOEXEC) && !(fcntl(twice, F_GETFD) & FD_CLOEXEC));
	CHECK(lseek(out, 0, SEEK_CUR) == 16 && write(out, "!", 1) == 1);
	CHECK((fcntl(app, F_GETFL) & O_APPEND) && write(app, "two\n", 4) == 4 && fstat(app, &st) == 0 && st.st_size == 8);
	CHECK(read(gone, buf, 10) == 4 && memcmp(buf, "here", 4) == 0 && pwrite(gone, "S", 1, 0) == 1 && pread(gone, buf, 5, 0) == 5);
	CHECK(memcmp(buf, "Still", 5) == 0 && access("gone", F_OK) != 0 && write(null, buf, 5) == 5);
	CHECK(openat(dir, "log", O_RDONLY) >= 0 && getcwd(now, sizeof(now)) != NULL && strcmp(cwd, now) == 0 && umask(0) == 027);
	CHECK(lseek(unnamed, 0, SEEK_CUR) == 7 && pread(unnamed, buf, 7, 0) == 7 && memcmp(buf, "no name", 7) == 0);
	if (fork() == 0) {
		lock.l_type = F_WRLCK;
		CHECK(fcntl(out, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_start == 10 && lock.l_len == 5);
		CHECK(flock(open("log", O_RDONLY), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK);
		_exit(7);
	}
	int status;
	CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	success();
}
