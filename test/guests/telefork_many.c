// args: 4 6
// soak: 50 1000
#include "guest.h"

static int add(void *arg)
{
	int *v = arg;

	return nodes() ? v[0] + popcorn_current_nid() : v[0];
}

static int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Many children at once, each of which finds out which it is, and many one after the other; nothing is left of them. */
int main(int argc, char **argv)
{
	int many = argc > 1 ? atoi(argv[1]) : 4, turns = argc > 2 ? atoi(argv[2]) : 6;
	int nids[64], status, seen = 0, before = open_files();
	pid_t children[64];

	for (int i = 0; i < many; i++)
		nids[i] = nodes() ? i % nodes() : 0;
	int which = nodes() ? popcorn_telefork_many(nids, many, children) : -1;

	if (which >= 0) {
		CHECK(popcorn_current_nid() == nids[which]);
		_exit(which + 1);
	}
	for (int i = 0; nodes() && i < many; i++) {
		CHECK(children[i] > 0 && waitpid(children[i], &status, 0) == children[i]);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == i + 1);
		seen++;
	}
	CHECK(seen == (nodes() ? many : 0));
	for (int i = 0; i < turns; i++) {
		int value[1] = {i % 100}, nid = nodes() ? i % nodes() : 0;
		int got = popcorn_yoyo(nid, add, value);

		if (nodes() == 0)
			CHECK(got == -1 && errno == ENOSYS);
		else
			CHECK(got == i % 100 + nid);
	}
	CHECK(wait(&status) == -1 && errno == ECHILD && open_files() == before);
	success();
	return 0;
}
