// calls: access chdir chmod close getcwd getdents64 link mkdir newfstatat openat readlink rename rmdir
// calls: symlink umask unlink utimensat
#include "guest.h"
#include <dirent.h>

/* Directories, names and what is known of files: mkdir, getdents, rename, link, symlink, unlink, stat, chmod, utimens. */
int main(void)
{
	struct stat st;
	char name[32], target[64], cwd[PATH_MAX];
	unsigned seen = 0;

	CHECK(mkdir("d", 0755) == 0 && mkdir("d", 0755) == -1 && errno == EEXIST);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "d/%02d", i);
		CHECK(close(open(name, O_CREAT | O_WRONLY, 0600)) == 0);
	}
	hop();
	DIR *dir = opendir("d");

	CHECK(dir);
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			seen |= 1u << atoi(e->d_name);
	CHECK(closedir(dir) == 0 && seen == (1u << 20) - 1);
	hop();
	CHECK(rename("d/00", "d/zero") == 0 && access("d/00", F_OK) == -1 && errno == ENOENT);
	CHECK(link("d/zero", "d/hard") == 0 && stat("d/zero", &st) == 0 && st.st_nlink == 2);
	CHECK(symlink("zero", "d/soft") == 0 && readlink("d/soft", target, sizeof target) == 4);
	CHECK(lstat("d/soft", &st) == 0 && S_ISLNK(st.st_mode) && stat("d/soft", &st) == 0 && S_ISREG(st.st_mode));
	CHECK(chmod("d/zero", 0640) == 0 && stat("d/hard", &st) == 0 && (st.st_mode & 0777) == 0640);
	hop();
	struct timespec when[2] = {{1000, 0}, {2000, 0}};

	CHECK(utimensat(AT_FDCWD, "d/zero", when, 0) == 0 && stat("d/zero", &st) == 0 && st.st_mtime == 2000);
	CHECK(rmdir("d") == -1 && errno == ENOTEMPTY);
	CHECK(chdir("d") == 0 && getcwd(cwd, sizeof cwd) && strcmp(cwd + strlen(cwd) - 2, "/d") == 0);
	CHECK(unlink("hard") == 0 && unlink("soft") == 0 && unlink("zero") == 0);
	CHECK(chdir("..") == 0);
	for (int i = 1; i < 20; i++) {
		snprintf(name, sizeof name, "d/%02d", i);
		CHECK(unlink(name) == 0);
	}
	CHECK(rmdir("d") == 0);
	umask(027);
	CHECK(umask(022) == 027);
	success();
	return 0;
}
