// args: 30
// soak: 200
// calls: clock_nanosleep clone3 rt_sigaction rt_sigreturn tgkill
#include "guest.h"

static _Thread_local volatile sig_atomic_t hits;
static _Atomic int total, stop;

static void handler(int sig) { (void)sig, hits++, atomic_fetch_add(&total, 1); }

/* pthread_kill finds its thread, computing or asleep, on whatever node. */
static void *computing(void *arg)
{
	unsigned long x = 1;

	place((long)arg);
	while (!atomic_load(&stop))
		x = x * 3 + 1;
	return (void *)(long)hits;
}

static void *sleeping(void *arg)
{
	struct timespec ts = {100, 0};

	place((long)arg);
	while (!atomic_load(&stop))
		CHECK(nanosleep(&ts, NULL) == -1 && errno == EINTR);
	return (void *)(long)hits;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	struct sigaction sa = {.sa_handler = handler};
	pthread_t t[4];

	CHECK(sigaction(SIGUSR2, &sa, NULL) == 0);
	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, i % 2 ? sleeping : computing, (void *)i);
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < 4; i++) {
			int before = atomic_load(&total);

			CHECK(pthread_kill(t[i], SIGUSR2) == 0);
			while (atomic_load(&total) == before)
				sched_yield();
		}
	atomic_store(&stop, 1);
	for (int i = 0; i < 4; i++) {
		void *got;

		if (i % 2)
			pthread_kill(t[i], SIGUSR2);
		CHECK(pthread_join(t[i], &got) == 0);
		/* A sleeper that was still awake when it was to stop ended without another signal. */
		CHECK((long)got == rounds || (i % 2 && (long)got == rounds + 1));
	}
	CHECK(hits == 0);
	success();
	return 0;
}
