// only: moves
// args: 0.2
#include "moves.h"

static pthread_t target[2];
static sem_t heard[2];
static int expected[2];
static _Atomic int stop;

static void handler(int sig, siginfo_t *si, void *uc)
{
	int me = sig - SIGRTMIN;

	(void)uc;
	CHECK(pthread_equal(pthread_self(), target[me]));
	CHECK(si->si_code == SI_QUEUE && si->si_pid == getpid() && si->si_value.sival_int == expected[me]++);
	CHECK(sem_post(&heard[me]) == 0);
}

/* Sends thread arg one signal after the other, each when it has heard the last. */
static void *sender(void *arg)
{
	int to = (long)arg;

	for (int i = 0; moves_go_on() || i == 0; i++) {
		CHECK(pthread_sigqueue(target[to], SIGRTMIN + to, (union sigval){.sival_int = i}) == 0);
		CHECK(sem_wait(&heard[to]) == 0);
	}
	atomic_fetch_add(&stop, 1);
	return arg;
}

static void *computes(void *arg)
{
	unsigned long x = 1;

	CHECK(pthread_sigmask(SIG_UNBLOCK, arg, NULL) == 0);
	while (atomic_load(&stop) < 2)
		x = x * 3 + 1;
	return (void *)(x | 1);
}

/* Signals come all the time to a thread that computes, and to one in a ppoll that lets them in: none is lost, none comes twice, and
   each says what its sender did. */
int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	pthread_t t[2];
	sigset_t block, none;

	moves_begin(argc, argv);
	sigemptyset(&none), sigemptyset(&block);
	for (int i = 0; i < 2; i++) {
		CHECK(sigaction(SIGRTMIN + i, &sa, NULL) == 0 && sem_init(&heard[i], 0, 0) == 0);
		sigaddset(&block, SIGRTMIN + i);
	}
	CHECK(pthread_sigmask(SIG_BLOCK, &block, NULL) == 0);
	target[0] = pthread_self();
	CHECK(pthread_create(&target[1], NULL, computes, &block) == 0);
	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, sender, (void *)i) == 0);
	while (atomic_load(&stop) == 0 || pthread_tryjoin_np(t[0], NULL) == EBUSY) {
		struct timespec soon = {0, 1000000};

		if (ppoll(NULL, 0, &soon, &none) == -1)
			CHECK(errno == EINTR);
	}
	CHECK(pthread_join(t[1], NULL) == 0 && pthread_join(target[1], NULL) == 0);
	return moves_end();
}
