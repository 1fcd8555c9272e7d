// args: 10
// soak: 500
// calls: clone3 futex
#include "guest.h"

static struct page {
	pthread_mutex_t mutex;
	int value;
} __attribute__((aligned(PAGE))) pages[3];

/* Owners die holding robust mutexes, wherever they are; the next locker is told and mends the state. */
static void *owner(void *arg)
{
	place((long)arg);
	for (int i = 0; i < 3; i++) {
		int err = pthread_mutex_lock(&pages[i].mutex);

		if (err == EOWNERDEAD) {
			CHECK(pages[i].value < 0);
			pages[i].value = -pages[i].value;
			CHECK(pthread_mutex_consistent(&pages[i].mutex) == 0);
		} else {
			CHECK(err == 0);
		}
		pages[i].value = -(pages[i].value + 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 50;
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr), pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_mutex_init(&pages[i].mutex, &attr) == 0);
	for (int r = 0; r < rounds; r++) {
		pthread_t t[3];

		hop();
		for (long i = 0; i < 3; i++)
			CHECK(pthread_create(&t[i], NULL, owner, (void *)(i + r)) == 0);
		for (int i = 0; i < 3; i++)
			CHECK(pthread_join(t[i], NULL) == 0);
	}
	for (int i = 0; i < 3; i++) {
		CHECK(pthread_mutex_lock(&pages[i].mutex) == EOWNERDEAD && pages[i].value == -3 * rounds);
		CHECK(pthread_mutex_unlock(&pages[i].mutex) == 0);
		CHECK(pthread_mutex_lock(&pages[i].mutex) == ENOTRECOVERABLE);
	}
	success();
	return 0;
}
