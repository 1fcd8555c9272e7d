// args: 20
// soak: 1000
// calls: rt_sigaction write
#include "guest.h"

enum { CYCLE = 251, BLOCK = CYCLE * 1024 }; /* prime, for what comes twice to be seen */

static int p[2], blocks;
static _Atomic int handled, done, written;

static void handler(int sig) { (void)sig, atomic_fetch_add(&handled, 1); }

static void *reader(void *arg)
{
	static char buf[16384];
	unsigned char want = 0;
	size_t all = 0;

	place((long)arg);
	for (ssize_t n; (n = read(p[0], buf, sizeof buf)) != 0; all += n) {
		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			CHECK((unsigned char)buf[i] == want), want = (want + 1) % CYCLE;
	}
	CHECK(all == (size_t)written * BLOCK);
	return NULL;
}

static void *nag(void *arg)
{
	while (!atomic_load(&done)) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		sleep_ms(2);
	}
	return NULL;
}

/* Signals cut writes short, which then tell how far they got: nothing is written twice, or not at all. */
int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	static char block[BLOCK];
	pthread_t r, n, self = pthread_self();
	sigset_t set;

	blocks = argc > 1 ? atoi(argv[1]) : 100;
	for (int i = 0; i < BLOCK; i++)
		block[i] = i % CYCLE;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && pipe(p) == 0);
	sigemptyset(&set), sigaddset(&set, SIGUSR1), pthread_sigmask(SIG_BLOCK, &set, NULL);
	CHECK(pthread_create(&r, NULL, reader, (void *)1L) == 0 && pthread_create(&n, NULL, nag, &self) == 0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (int b = 0; b < blocks || !atomic_load(&handled); b++) { /* a fast machine is through before the first signal */
		if (b % 5 == 0)
			hop();
		for (ssize_t at = 0, w; at < BLOCK; at += w) {
			w = write(p[1], block + at, BLOCK - at);
			CHECK(w > 0);
		}
		atomic_fetch_add(&written, 1);
	}
	close(p[1]);
	pthread_join(r, NULL);
	atomic_store(&done, 1);
	pthread_join(n, NULL);
	CHECK(handled > 0);
	success();
	return 0;
}
