// args: 30
// soak: 20000
#include "guest.h"
#include <sys/mman.h>

static _Atomic int handled, done;

static void handler(int sig) { (void)sig, atomic_fetch_add(&handled, 1); }

/* Somebody whose signals meet the calls of the others. */
static void *nag(void *arg)
{
	pthread_t *at = arg;

	while (!atomic_load(&done)) {
		pthread_kill(at[0], SIGUSR1), pthread_kill(at[1], SIGUSR1); /* ESRCH: it is through */
		sleep_ms(3);
	}
	return NULL;
}

/* None of these calls is ever interrupted (signal(7)), nor made twice. */
static void *maps(void *arg)
{
	int rounds = *(int *)arg;

	for (int i = 0; i < rounds || !atomic_load(&handled); i++) { /* a fast machine is through before the first signal */
		char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(p != MAP_FAILED);
		memset(p, i, 8 * 4096);
		CHECK(mprotect(p, 4096, PROT_READ) == 0 && p[0] == (char)i);
		CHECK(mmap(p + 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 4096);
		CHECK(p[4096] == 0 && p[8192] == (char)i);
		CHECK(madvise(p + 8192, 4096, MADV_DONTNEED) == 0 && p[8192] == 0);
		p = mremap(p + 3 * 4096, 5 * 4096, 16 * 4096, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED && p[4 * 4096] == (char)i && p[5 * 4096] == 0);
		CHECK(munmap(p, 16 * 4096) == 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = handler}; /* no SA_RESTART */
	int rounds = argc > 1 ? atoi(argv[1]) : 1000;
	pthread_t t[2], n;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_create(&t[0], NULL, maps, &rounds) == 0 && pthread_create(&t[1], NULL, maps, &rounds) == 0);
	CHECK(pthread_create(&n, NULL, nag, t) == 0);
	pthread_join(t[0], NULL), pthread_join(t[1], NULL);
	atomic_store(&done, 1);
	pthread_join(n, NULL);
	CHECK(handled > 0);
	success();
	return 0;
}
