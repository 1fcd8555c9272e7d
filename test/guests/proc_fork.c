// args: 8
// soak: 200
// calls: clone clone3 close exit_group read wait4 write
#include "guest.h"

static char data[16 * PAGE] __attribute__((aligned(PAGE)));
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int stop;

static void *busy(void *arg)
{
	place((long)arg);
	while (!atomic_load(&stop)) {
		pthread_mutex_lock(&mutex);
		memset(data + 8 * PAGE, data[8 * PAGE] + 1, 8 * PAGE);
		pthread_mutex_unlock(&mutex);
		sched_yield();
	}
	return NULL;
}

/* fork while another thread writes elsewhere: the child sees one consistent copy, and none of what comes later. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20;
	pthread_t t;

	pthread_create(&t, NULL, busy, (void *)1);
	for (int r = 1; r <= rounds; r++) {
		int status, p[2];
		char c;

		CHECK(pipe(p) == 0);
		memset(data, r, 8 * PAGE);
		hop();
		pthread_mutex_lock(&mutex);
		pid_t child = fork();

		if (child == 0) {
			CHECK(read(p[0], &c, 1) == 1);
			for (int i = 0; i < 8 * PAGE; i++)
				CHECK(data[i] == (char)r && data[8 * PAGE + i] == data[8 * PAGE]);
			memset(data, 0, sizeof data);
			CHECK(getppid() != getpid());
			_exit(r % 100);
		}
		pthread_mutex_unlock(&mutex);
		CHECK(child > 0);
		memset(data, 100, 8 * PAGE);
		CHECK(write(p[1], "g", 1) == 1 && waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == r % 100 && data[0] == 100);
		close(p[0]), close(p[1]);
	}
	atomic_store(&stop, 1);
	pthread_join(t, NULL);
	success();
	return 0;
}
