#include "guest.h"

/* The kernel reads and writes a page for one thread while others write it all the time: calls end, and the others get on. */
static struct {
	_Atomic long count[3];
	char out[64], in[64];
	_Atomic int stop;
} shared __attribute__((aligned(PAGE)));

static void *writer(void *arg)
{
	_Atomic long *mine = &shared.count[(long)arg];

	while (!atomic_load(&shared.stop))
		atomic_fetch_add(mine, 1);
	return NULL;
}

int main(void)
{
	enum { ROUNDS = 200 };
	pthread_t t[3];
	int fd[2];
	long before[3] = {0};

	CHECK(pipe(fd) == 0);
	for (long i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, writer, (void *)i) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		memset(shared.out, 'a' + i % 26, sizeof(shared.out));
		CHECK(write(fd[1], shared.out, sizeof(shared.out)) == sizeof(shared.out));
		CHECK(read(fd[0], shared.in, sizeof(shared.in)) == sizeof(shared.in));
		CHECK(memcmp(shared.in, shared.out, sizeof(shared.in)) == 0);
	}
	for (int i = 0; i < 3; i++) { /* they still do */
		before[i] = atomic_load(&shared.count[i]);
		while (atomic_load(&shared.count[i]) == before[i])
			sched_yield();
	}
	atomic_store(&shared.stop, 1);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	success();
	return 0;
}
