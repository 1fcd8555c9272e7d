// args: 3 4
// soak: 100 512
// calls: popcorn_telefork
#include "guest.h"

static unsigned char *data;
static size_t size;
static _Atomic int stop;
static volatile int got;

static void *busy(void *arg)
{
	place((long)arg);
	while (!atomic_load(&stop))
		sched_yield();
	return NULL;
}

static void on_usr1(int sig)
{
	got = sig;
}

/* One child, by the C library's fork or by the system call itself. */
static pid_t child_at(int nid, bool raw)
{
	if (nodes() == 0) {
		CHECK((raw ? syscall(904, nid, 0) : popcorn_telefork(nid)) == -1 && errno == ENOSYS);
		return fork();
	}
	return raw ? syscall(904, nid, 0) : popcorn_telefork(nid);
}

static void check_errors(void)
{
	if (nodes() == 0)
		return;
	CHECK(popcorn_telefork(-1) == -1 && errno == EINVAL);
	CHECK(popcorn_telefork(MAX_POPCORN_NODES) == -1 && errno == EINVAL);
	CHECK(popcorn_telefork(nodes()) == -1 && errno == EAGAIN);
	CHECK(syscall(904, nodes(), 0) == -1 && errno == EAGAIN);
	CHECK(syscall(904, 0, 7) == -1 && errno == EINVAL);
}

/* What a child must find, and does: the parent's memory of that moment, its files with their offsets, its pipes, a
 * place at the node asked for, only the thread that forked, signals, and children of its own. */
static _Noreturn void child(int nid, int round, uint64_t sum, int fd, int *to, int *from)
{
	char c;
	int status;

	if (nodes())
		CHECK(popcorn_current_nid() == nid);
	CHECK(read(to[0], &c, 1) == 1 && c == 'g');
	CHECK(hash_bytes(data, size) == sum);
	memset(data, round, size);
	CHECK(write(fd, "child ", 6) == 6);
	while (!got)
		sleep_ms(1);
	if (round % 3 == 0) {
		pid_t grandchild = child_at(nodes() > 1 ? 1 - nid % 2 : 0, false);

		if (grandchild == 0)
			_exit(data[size - 1] == (unsigned char)round ? 7 : 8);
		CHECK(grandchild > 0 && waitpid(grandchild, &status, 0) == grandchild);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	if (nodes() > 1)
		go(0);
	CHECK(data[0] == (unsigned char)round);
	CHECK(write(from[1], "d", 1) == 1);
	if (round % 4 == 1)
		raise(SIGTERM);
	_exit(round % 100);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 3;
	char name[] = "telefork-XXXXXX";
	int fd = mkstemp(name);
	pthread_t t[2];
	long length = 0;

	size = (argc > 2 ? atoi(argv[2]) : 4) << 20;
	data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(data != MAP_FAILED && fd >= 0 && unlink(name) == 0);
	signal(SIGUSR1, on_usr1);
	check_errors();
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, busy, (void *)i);
	for (int r = 1; r <= rounds; r++) {
		int to[2], from[2], status, nid = nodes() ? r % nodes() : 0;
		char c;

		CHECK(pipe(to) == 0 && pipe(from) == 0);
		for (size_t i = 0; i < size; i += 512)
			data[i] = (unsigned char)(i / 512 * 7 + r);
		uint64_t sum = hash_bytes(data, size);

		place(r / 2);
		CHECK(write(fd, "parent ", 7) == 7);
		pid_t pid = child_at(nid, r % 2);

		if (pid == 0)
			child(nid, r, sum, fd, to, from);
		CHECK(pid > 0 && pid != getpid());
		memset(data, 255, size); /* none of it is the child's */
		CHECK(write(to[1], "g", 1) == 1 && kill(pid, SIGUSR1) == 0);
		CHECK(read(from[0], &c, 1) == 1 && waitpid(pid, &status, 0) == pid);
		if (r % 4 == 1)
			CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
		else
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == r % 100);
		length += 13;
		CHECK(lseek(fd, 0, SEEK_CUR) == length && data[0] == 255 && data[size - 1] == 255);
		close(to[0]), close(to[1]), close(from[0]), close(from[1]);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
