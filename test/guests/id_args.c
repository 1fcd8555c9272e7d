// calls: openat read
#include "guest.h"

extern char **environ;

static void same(const char *file, const char *at, size_t n)
{
	char *got = malloc(n + 1);
	int fd = open(file, O_RDONLY);
	ssize_t r = read(fd, got, n + 1);

	CHECK(fd >= 0 && r == (ssize_t)n && memcmp(got, at, n) == 0);
	close(fd);
	free(got);
}

/* The kernel finds arguments and environment, on which it has no hold, wherever they were last written. */
int main(int argc, char **argv)
{
	const char *args = argv[0], *last_arg = argv[argc - 1], *env = environ[0], *last_env = env;

	for (char **e = environ; *e; e++)
		last_env = *e;
	for (int i = 0; i < 8; i++) {
		place(i);
		for (volatile char *c = (char *)args; c < last_env; c += 256)
			*c = *c;
		same("/proc/self/cmdline", args, last_arg + strlen(last_arg) + 1 - args);
		same("/proc/self/environ", env, last_env + strlen(last_env) + 1 - env);
	}
	success();
	return 0;
}
