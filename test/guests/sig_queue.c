// calls: clone3 getpid getuid prlimit64 rt_sigaction rt_sigprocmask rt_sigqueueinfo rt_sigreturn
#include "guest.h"
#include <sys/resource.h>

#define KINDS 4
#define EACH 8

static volatile int order[KINDS * EACH + 8], n;
static void handler(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	CHECK(si->si_code == SI_QUEUE && si->si_pid == getpid() && si->si_uid == getuid());
	order[n++] = (sig - SIGRTMIN) * 1000 + si->si_value.sival_int;
}

static void *sender(void *arg)
{
	int me = (long)arg;

	place(me);
	for (int i = 0; i < EACH; i++) {
		union sigval v = {.sival_int = i};

		/* From a thread a kind: within one the order is that of sending. */
		CHECK(sigqueue(getpid(), SIGRTMIN + me, v) == 0);
	}
	return NULL;
}

/* Real-time signals wait in a queue, none is lost, the lowest comes first; others are merged; the queue has a limit. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	struct rlimit limit, few;
	sigset_t all, old;
	int queued = 0;

	sigfillset(&sa.sa_mask), sigfillset(&all);
	for (int k = 0; k < KINDS; k++)
		CHECK(sigaction(SIGRTMIN + k, &sa, NULL) == 0);
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	for (int round = 0; round < 4; round++) {
		n = 0;
		CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0);
		run_threads(KINDS, sender);
		CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1}) == 0);
		CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 2}) == 0);
		hop();
		CHECK(n == 0 && sigprocmask(SIG_SETMASK, &old, NULL) == 0 && n == KINDS * EACH + 1);
		CHECK(order[0] == (SIGUSR1 - SIGRTMIN) * 1000 + 1);
		for (int i = 0; i < KINDS * EACH; i++)
			CHECK(order[i + 1] == i / EACH * 1000 + i % EACH);
		hop();
	}
	CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0 && getrlimit(RLIMIT_SIGPENDING, &limit) == 0);
	few = limit, few.rlim_cur = 5;
	CHECK(setrlimit(RLIMIT_SIGPENDING, &few) == 0);
	while (queued < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0)
		queued++;
	CHECK(errno == EAGAIN && queued <= 5 && setrlimit(RLIMIT_SIGPENDING, &limit) == 0);
	n = 0;
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && n == queued);
	success();
	return 0;
}
