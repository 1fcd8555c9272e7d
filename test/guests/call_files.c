// calls: access chmod chown creat faccessat fchdir fchmod fchmodat fchown fdatasync fstatfs fsync getcwd getdents link linkat lchown
// calls: lstat mkdir mkdirat mknod open readlink readlinkat rename renameat renameat2 rmdir stat statfs statx symlink symlinkat
// calls: truncate umask unlink unlinkat utime utimensat utimes chdir flock fallocate copy_file_range faccessat2 fadvise64 dup dup2 dup3
#include "guest.h"
#include <sys/file.h>
#include <sys/vfs.h>
#include <utime.h>
#include <dirent.h>

#define SYS(name, ...) syscall(SYS_##name, __VA_ARGS__)

static mode_t mode_of(const char *path)
{
	struct stat st;

	CHECK(SYS(stat, path, &st) == 0);
	return st.st_mode & 07777;
}

static void names(int dir)
{
	char buf[64];
	struct stat st;

	CHECK(SYS(link, "a", "b") == 0 && SYS(linkat, AT_FDCWD, "a", dir, "c", 0) == 0 && SYS(symlink, "a", "s") == 0);
	CHECK(SYS(symlinkat, "b", dir, "t") == 0 && SYS(lstat, "s", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(SYS(readlink, "s", buf, sizeof buf) == 1 && *buf == 'a' && SYS(readlinkat, dir, "t", buf, 9) == 1 && *buf == 'b');
	CHECK(SYS(stat, "a", &st) == 0 && st.st_nlink == 3 && SYS(rename, "b", "d") == 0);
	CHECK(SYS(renameat, dir, "c", AT_FDCWD, "b") == 0 && SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 1) == -1 && errno == EEXIST);
	CHECK(SYS(unlink, "d") == 0 && SYS(unlinkat, AT_FDCWD, "b", 0) == 0 && SYS(stat, "a", &st) == 0 && st.st_nlink == 1);
	CHECK(SYS(mkdir, "e", 0700) == 0 && SYS(mkdirat, dir, "f", 0700) == 0 && SYS(rmdir, "e") == 0);
	CHECK(SYS(mknod, "fifo", S_IFIFO | 0600, 0) == 0 && SYS(stat, "fifo", &st) == 0 && S_ISFIFO(st.st_mode));
}

static void rights(int fd)
{
	CHECK(SYS(umask, 027) == 022 && SYS(umask, 022) == 027);
	CHECK(SYS(chmod, "a", 0640) == 0 && mode_of("a") == 0640 && SYS(fchmod, fd, 0600) == 0 && mode_of("a") == 0600);
	CHECK(SYS(fchmodat, AT_FDCWD, "a", 0444) == 0 && mode_of("a") == 0444);
	CHECK(SYS(access, "a", R_OK) == 0 && SYS(faccessat, AT_FDCWD, "a", X_OK) == -1 && errno == EACCES);
	CHECK(SYS(faccessat2, AT_FDCWD, "none", F_OK, 0) == -1 && errno == ENOENT);
	CHECK(SYS(chown, "a", getuid(), getgid()) == 0 && SYS(lchown, "s", getuid(), getgid()) == 0 && SYS(fchown, fd, -1, -1) == 0);
}

static void times(void)
{
	struct utimbuf ut = {1000, 2000};
	struct timeval tv[2] = {{3000, 0}, {4000, 0}};
	struct timespec ts[2] = {{5000, 7}, {6000, 8}};
	struct stat st;
	struct statx sx;

	CHECK(SYS(utime, "a", &ut) == 0 && SYS(stat, "a", &st) == 0 && st.st_mtime == 2000);
	CHECK(SYS(utimes, "a", tv) == 0 && SYS(stat, "a", &st) == 0 && st.st_atime == 3000);
	CHECK(SYS(utimensat, AT_FDCWD, "a", ts, 0) == 0);
	CHECK(SYS(statx, AT_FDCWD, "a", 0, STATX_BASIC_STATS, &sx) == 0 && sx.stx_mtime.tv_sec == 6000 && sx.stx_mtime.tv_nsec == 8);
}

static void contents(int fd)
{
	struct statfs fs, same;
	loff_t from = 0, to = 100;
	struct stat st;

	CHECK(write(fd, "0123456789", 10) == 10 && SYS(fsync, fd) == 0 && SYS(fdatasync, fd) == 0);
	CHECK(SYS(copy_file_range, fd, &from, fd, &to, 10, 0) == 10 && from == 10 && to == 110);
	CHECK(SYS(truncate, "a", 60) == 0 && fstat(fd, &st) == 0 && st.st_size == 60);
	CHECK(SYS(fallocate, fd, 0, 0, 8192) == 0 && fstat(fd, &st) == 0 && st.st_size == 8192);
	CHECK(SYS(fadvise64, fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && SYS(fadvise64, fd, 0, 0, 99) == -1 && errno == EINVAL);
	CHECK(SYS(statfs, ".", &fs) == 0 && SYS(fstatfs, fd, &same) == 0 && fs.f_type == same.f_type);
	int two = SYS(dup, fd);

	CHECK(two > fd && SYS(dup2, fd, two) == two && SYS(dup3, fd, two, O_CLOEXEC) == two && fcntl(two, F_GETFD) == FD_CLOEXEC);
	CHECK(SYS(flock, two, LOCK_EX) == 0 && close(two) == 0);
}

/* Names, rights, times and contents of files, all of it by threads that are away. */
int main(void)
{
	char cwd[PATH_MAX], again[PATH_MAX], list[4096];

	CHECK(SYS(mkdir, "dir", 0755) == 0 && SYS(getcwd, cwd, sizeof cwd) > 0 && SYS(chdir, "dir") == 0);
	int dir = SYS(open, ".", O_RDONLY | O_DIRECTORY), fd = SYS(creat, "a", 0644);

	CHECK(dir >= 0 && fd >= 0 && close(fd) == 0 && (fd = open("a", O_RDWR)) >= 0);
	names(dir);
	hop();
	rights(fd);
	times();
	hop();
	contents(fd);
	CHECK(SYS(getdents, dir, list, sizeof list) > 0);
	CHECK(SYS(chdir, "/") == 0 && SYS(fchdir, dir) == 0 && SYS(chdir, "..") == 0 && SYS(getcwd, again, sizeof again) > 0);
	CHECK(strcmp(cwd, again) == 0);
	success();
	return 0;
}
