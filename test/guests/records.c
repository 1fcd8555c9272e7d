// only: faults
// args: 200
#include "guest.h"

enum { WORDS = 512, WRITERS = 3 };

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t turned;
	long next;
} shared = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
static uint64_t state[WORDS] __attribute__((aligned(PAGE)));
static long records;
static int fd;

/* Threads on all nodes take turns: each changes a page of state and writes a record that depends on all of it. One
 * wrong word in that page, and every record from there on is wrong. */
static void *writer(void *arg)
{
	long me = (long)arg;
	char line[80];

	place(me);
	pthread_mutex_lock(&shared.mutex);
	while (shared.next < records) {
		long i = shared.next;
		uint64_t sum = i;

		if (i % WRITERS != me) {
			pthread_cond_wait(&shared.turned, &shared.mutex);
			continue;
		}
		for (int w = 0; w < WORDS; w++) {
			state[w] = state[w] * 6364136223846793005ull + i + w;
			sum = (sum ^ state[w]) * 1099511628211ull;
		}
		snprintf(line, sizeof line, "record %012ld sum %016llx %22s\n", i, (unsigned long long)sum, "");
		CHECK(strlen(line) == 64 && write(fd, line, 64) == 64);
		shared.next++;
		pthread_cond_broadcast(&shared.turned);
	}
	pthread_mutex_unlock(&shared.mutex);
	return NULL;
}

int main(int argc, char **argv)
{
	records = argc > 1 ? atol(argv[1]) : 1000;
	fd = open("records", O_CREAT | O_WRONLY | O_APPEND, 0644);
	CHECK(fd >= 0);
	run_threads(WRITERS, writer);
	success();
	return 0;
}
